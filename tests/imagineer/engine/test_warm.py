import os

import pytest

from imagineer.engine import warm
from imagineer.engine.types import ModelError
from tests.imagineer.engine.asking import ask


@pytest.fixture(autouse=True)
def nothing_stays_warm():
    yield
    warm.release_engine()


def test_the_next_job_with_the_same_model_finds_the_engine_warm(tiny_folder):
    first = warm.warm_engine(tiny_folder, device="cpu", threads=1)
    assert warm.warm_engine(tiny_folder, device="cpu", threads=1) is first


def test_another_model_takes_the_place_of_the_one_before(tiny_folder, copied_folder):
    first = warm.warm_engine(tiny_folder, device="cpu", threads=1)
    second = warm.warm_engine(copied_folder, device="cpu", threads=1)
    assert second is not first
    assert first._pipe is None


def test_weights_that_were_replaced_are_loaded_anew(copied_folder):
    from safetensors.torch import load_file, save_file

    (before,) = warm.warm_engine(copied_folder, device="cpu", threads=1).draw([ask()])
    file = copied_folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {name: tensor * 0.5 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"}
    )
    os.utime(file, (1, 1))
    (after,) = warm.warm_engine(copied_folder, device="cpu", threads=1).draw([ask()])
    assert after.image.tobytes() != before.image.tobytes()
    assert after.recipe["model"]["hash"] != before.recipe["model"]["hash"]


def test_a_model_that_cannot_be_loaded_leaves_nothing_warm(tiny_folder, copied_folder):
    first = warm.warm_engine(tiny_folder, device="cpu", threads=1)
    (copied_folder / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError):
        warm.warm_engine(copied_folder, device="cpu", threads=1)
    assert first._pipe is None
    assert warm.warm_engine(tiny_folder, device="cpu", threads=1).draw([ask()])
