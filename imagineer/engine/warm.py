"""The one engine that a worker process keeps warm from job to job."""

from imagineer.engine.model_folder import hash_model
from imagineer.engine.pipeline import DiffusionEngine

_key: tuple | None = None
_engine: DiffusionEngine | None = None


def warm_engine(model_path, *, device: str = "auto", threads: int | None = None) -> DiffusionEngine:
    """The open engine of a model: the one of the job before when it is the same and unchanged, else a new one.

    :raises ModelError: the folder is not whole, and what was warm stays so; or the model could not be loaded, and
        nothing is in memory.
    """
    global _key, _engine
    engine = DiffusionEngine(model_path, device=device, threads=threads)
    # The hash, for weights that were replaced by others of the same form; it is remembered by size and time.
    key = (str(model_path), engine.info, hash_model(engine.info), device, threads)
    if key != _key:
        release_engine()
        engine.open()
        _key, _engine = key, engine
    return _engine


def release_engine() -> None:
    """Give the memory of the warm engine back."""
    global _key, _engine
    if _engine is not None:
        _engine.close()
    _key = _engine = None
