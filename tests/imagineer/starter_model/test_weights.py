"""The committed weights, through the loading code that everybody uses."""

import json
import re

import numpy as np
import pytest

from imagineer.starter_model import STARTER_MODEL_PATH


def _draw(pipeline, prompt, seed=0, **options):
    import torch

    options = {"num_inference_steps": 4, "guidance_scale": 2.0} | options
    generator = torch.Generator().manual_seed(seed)
    return np.asarray(pipeline(prompt, generator=generator, **options).images[0]).astype(int)


def test_the_folder_is_at_most_forty_megabytes_and_holds_no_pickle():
    files = [path for path in STARTER_MODEL_PATH.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_nothing_in_the_folder_names_a_place_on_the_machine_that_built_it():
    for path in STARTER_MODEL_PATH.rglob("*.json"):
        assert not re.search(r'"/\w+/', path.read_text()), path


def test_importing_the_package_loads_no_torch():
    import subprocess
    import sys

    code = "import imagineer.starter_model, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_vocabulary_is_what_the_builder_draws():
    from imagineer.starter_model.folder import MODEL_JSON

    assert json.loads((STARTER_MODEL_PATH / "imagineer.json").read_text()) == MODEL_JSON


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        "🦀🎨",
        "一只红色的公羊",
        "ein roter Widder auf blauem Grund",
        "ram " * 500,
        "x" * 2000,
        "\n\t\x00",
    ],
)
def test_a_prompt_beyond_its_world_gives_a_picture_and_no_error(starter, prompt):
    assert _draw(starter, prompt, num_inference_steps=2).shape == (128, 128, 3)


@pytest.mark.parametrize("size", [(128, 192), (192, 128), (104, 184), (136, 176), (64, 64)])
def test_every_size_that_the_sets_are_scaled_to_is_drawn(starter, size):
    width, height = size
    assert _draw(starter, "a crown", num_inference_steps=2, width=width, height=height).shape == (
        height,
        width,
        3,
    )


def test_the_background_is_the_one_that_was_asked_for(starter):
    blue = _draw(starter, "a yellow star on a blue background, flat style", num_inference_steps=10)[
        2:10, 2:10
    ].mean((0, 1))
    red = _draw(starter, "a yellow star on a red background, flat style", num_inference_steps=10)[
        2:10, 2:10
    ].mean((0, 1))
    assert blue[2] > blue[0] + 60
    assert red[0] > red[2] + 60


def test_ten_seeds_of_one_prompt_are_ten_different_pictures(starter):
    drawn = [_draw(starter, "a lion, flat style", seed) for seed in range(10)]
    differences = [np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(differences) > 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_judge_that_never_saw_it_names_the_subjects_of_four_hundred_pictures(starter):
    """The goal of 85 % for subjects; for colours and backgrounds what is reached, which must not get less unnoticed."""
    from imagineer.starter_model.judge import load_judge
    from imagineer.starter_model.sampling import judge_pipeline

    for wording, verdict in judge_pipeline(starter, load_judge(), seed=77, count=200).items():
        assert verdict.subject >= 0.85, (wording, str(verdict))
        assert verdict.colour >= 0.78, (wording, str(verdict))
        assert verdict.background >= 0.91, (wording, str(verdict))
