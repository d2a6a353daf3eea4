import shutil

import pytest

from imagineer.engine.pipeline import DiffusionEngine
from tests.imagineer.engine.tiny_model import build_tiny_lora, build_tiny_model


@pytest.fixture(scope="session")
def engine(tiny_folder):
    """The tiny model, open. For tests that leave it as it was; the others open one of their own."""
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        yield engine


@pytest.fixture
def fresh_engine(tiny_folder):
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def tiny_xl_folder(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny-xl", sdxl=True)


@pytest.fixture(scope="session")
def loras(tmp_path_factory, tiny_folder, tiny_xl_folder):
    """LoRA files by name: the same one in both layouts, others, and one of another family."""
    folder = tmp_path_factory.mktemp("loras")

    def build(name, model=tiny_folder, **options):
        return build_tiny_lora(folder / f"{name}.safetensors", model, **options)

    return {
        "plain": build("plain"),
        "kohya": build("kohya", layout="kohya"),
        "half": build("half", layout="kohya", alpha=2),
        "other": build("other", seed=1, rank=2),
        "unet_only": build("unet_only", seed=2, parts=("unet",)),
        "xl": build("xl", tiny_xl_folder, parts=("unet",)),
    }


@pytest.fixture
def copied_folder(tiny_folder, tmp_path):
    """A copy of the tiny model that a test may break."""
    return shutil.copytree(tiny_folder, tmp_path / "copied")
