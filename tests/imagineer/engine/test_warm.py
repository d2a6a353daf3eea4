"""One model stays in memory from job to job, and never two."""

import shutil
import weakref

import pytest

from imagineer.engine.types import ModelError
from imagineer.engine.warm import release_engine, warm_engine
from tests.imagineer.engine.tiny_model import build_tiny_model


@pytest.fixture(autouse=True)
def _cold_before_and_after():
    release_engine()
    yield
    release_engine()


def weights_of(engine):
    return weakref.ref(engine._pipe.unet.conv_in.weight)


def test_the_next_job_on_the_same_model_finds_it_warm(tiny_folder):
    assert warm_engine(tiny_folder, device="cpu") is warm_engine(str(tiny_folder), device="cpu")


def test_another_model_takes_the_place_of_the_one_before(tiny_folder, tiny_xl_folder):
    first = warm_engine(tiny_folder, device="cpu")
    weights = weights_of(first)
    assert warm_engine(tiny_xl_folder, device="cpu") is not first
    assert weights() is None


def test_weights_exchanged_in_the_same_folder_are_loaded_anew(tiny_folder, tmp_path, request_for):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    [before] = warm_engine(folder, device="cpu").draw([request_for()])
    build_tiny_model(folder, seed=1)
    [after] = warm_engine(folder, device="cpu").draw([request_for()])
    assert before.recipe["model"]["hash"] != after.recipe["model"]["hash"]
    assert before.image.tobytes() != after.image.tobytes()


def test_a_broken_model_is_an_error_and_the_warm_one_stays_usable(tiny_folder, tmp_path, request_for):
    engine = warm_engine(tiny_folder, device="cpu")
    with pytest.raises(ModelError, match="no model folder"):
        warm_engine(tmp_path / "nowhere", device="cpu")
    assert warm_engine(tiny_folder, device="cpu") is engine
    assert engine.draw([request_for()])


def test_a_released_engine_gives_its_weights_back(tiny_folder):
    weights = weights_of(warm_engine(tiny_folder, device="cpu"))
    release_engine()
    assert weights() is None
