import pytest

from imagineer.engine import warm
from tests.imagineer.engine.tiny_model import build_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A diffusers folder with random weights: real code, small numbers."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_tiny_model(folder)
    return folder


@pytest.fixture
def tiny(settings, tiny_folder):
    """The tiny model is what IMAGINEER_MODEL names."""
    settings.MODEL = str(tiny_folder)
    yield tiny_folder
    warm.release_engine()
