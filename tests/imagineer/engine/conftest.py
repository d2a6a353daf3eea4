import pytest

from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.types import GenerationRequest
from tests.imagineer.engine.tiny_model import build_tiny_lora, build_tiny_model


@pytest.fixture(scope="session")
def tiny_xl_folder(tmp_path_factory):
    """A tiny SDXL folder: two text encoders, pooled embeddings, sizes as conditions."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny-xl", sdxl=True)


@pytest.fixture(scope="session")
def tiny_lora(tmp_path_factory, tiny_folder):
    """A LoRA that fits the tiny model and changes its pictures plainly."""
    return build_tiny_lora(
        tmp_path_factory.mktemp("loras") / "ink.safetensors", tiny_folder, layout="kohya", alpha=4
    )


@pytest.fixture(scope="module")
def engine(tiny_folder):
    """A warm engine that a module's tests share, as jobs do."""
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        yield engine


@pytest.fixture
def request_for():
    """Build a request for a small, quick picture."""

    def build(prompt="a cat", **options) -> GenerationRequest:
        return GenerationRequest(
            prompt, **{"width": 64, "height": 64, "steps": 3, "guidance_scale": 5.0} | options
        )

    return build


@pytest.fixture
def any_engine(request, tiny_folder, tiny_xl_folder):
    folder = {"sd15": tiny_folder, "sdxl": tiny_xl_folder}[request.param]
    with DiffusionEngine(folder, device="cpu", threads=1) as engine:
        yield engine
