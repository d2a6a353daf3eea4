"""Running out of memory, on a card or on a CPU."""

import gc
import sys


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device or the host ran out of memory."""
    # torch has a class of its own for CUDA only; MPS and the CPU allocator raise a plain RuntimeError.
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def free_memory() -> None:
    """Collect garbage and give torch's cached blocks back to the card; loads torch for nobody."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()
