import json
import math
import pickle
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagineer.engine.model_folder import fit_size, hash_model, read_model
from imagineer.engine.types import ModelError
from imagineer.starter_model import STARTER_MODEL_PATH


def explain(path) -> str:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def change(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_whole_folder_is_read(tiny_folder, tiny_xl_folder):
    tiny, tiny_xl = read_model(tiny_folder), read_model(tiny_xl_folder)
    assert (tiny.family, tiny.native_size, tiny.cross_attention_dim) == ("sd15", 64, 16)
    assert (tiny_xl.family, tiny_xl.native_size, tiny_xl.cross_attention_dim) == ("sdxl", 64, 32)
    assert tiny.name == tiny.title == tiny_folder.name
    assert len(tiny.weights) == 3
    assert len(tiny_xl.weights) == 4


def test_the_starter_model_tells_its_limits_and_words():
    info = read_model(STARTER_MODEL_PATH)
    stated = json.loads((STARTER_MODEL_PATH / "imagineer.json").read_text())
    assert (info.name, info.max_pixels, info.max_side) == (
        stated["name"],
        stated["max_pixels"],
        stated["max_side"],
    )
    assert info.defaults == stated["defaults"]
    assert info.vocabulary == stated["vocabulary"]


@pytest.mark.parametrize("path", ["runwayml/stable-diffusion-v1-5", "no/such/folder", "a\0b", "x" * 5000])
def test_a_mistyped_path_is_never_taken_for_the_name_of_a_repository(path):
    assert "There is no model folder at" in explain(path)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model_index.json", "no model_index.json: so it is not a diffusers model folder"),
        ("unet/config.json", "no unet/config.json"),
        ("vae/config.json", "no vae/config.json"),
        ("scheduler/scheduler_config.json", "no scheduler/scheduler_config.json"),
        ("tokenizer/tokenizer.json", "lacks tokenizer/tokenizer.json"),
        ("unet/diffusion_pytorch_model.safetensors", "lacks unet/diffusion_pytorch_model.safetensors"),
        ("text_encoder/model.safetensors", "lacks text_encoder/model.safetensors"),
    ],
)
def test_a_missing_file_is_named(copied_folder, file, words):
    (copied_folder / file).unlink()
    assert words in explain(copied_folder)


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_file_that_is_no_json_object_is_named(copied_folder, file, content):
    (copied_folder / file).write_bytes(content)
    assert f"has a {file} that is not" in explain(copied_folder)


def test_a_json_file_of_gigabytes_is_not_read(copied_folder):
    with (copied_folder / "model_index.json").open("r+b") as file:
        file.truncate(2**31)
    assert "more than 5 MB" in explain(copied_folder)


def test_weights_that_are_cut_short_are_named(copied_folder):
    file = copied_folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    text = explain(copied_folder)
    assert "broken file vae/diffusion_pytorch_model.safetensors: it is cut short" in text
    assert "Copy it again" in text


def test_a_pointer_of_git_lfs_is_told_as_one(copied_folder):
    file = copied_folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "git lfs pull" in explain(copied_folder)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "weights.pt"])
def test_pickled_weights_are_refused_and_not_run(copied_folder, name):
    class Trap:
        def __reduce__(self):
            return open, (str(copied_folder / "sprung"), "w")

    (copied_folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (copied_folder / "unet" / name).write_bytes(pickle.dumps(Trap()))
    assert "only pickled weights in unet/, which can run code and are refused" in explain(copied_folder)
    assert not (copied_folder / "sprung").exists()


def test_a_pickle_under_the_name_of_safetensors_is_refused(copied_folder):
    file = copied_folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(pickle.dumps({"a": 1}))
    assert "broken file unet/" in explain(copied_folder)


@pytest.mark.parametrize(
    "pipeline", ["FluxPipeline", None, 3, ["my_code", "Pipeline"], {"a": 1}, "StableDiffusionPipeline "]
)
def test_a_pipeline_that_is_not_drawn_with_is_named(copied_folder, pipeline):
    change(copied_folder / "model_index.json", _class_name=pipeline)
    assert "Imagineer draws with StableDiffusionPipeline" in explain(copied_folder)


@pytest.mark.parametrize(
    "entry",
    [
        ["os", "system"],
        ["my_module", "UNet2DConditionModel"],
        ["diffusers", "UNet3DConditionModel"],
        ["diffusers"],
        [None, None],
        "unet",
        None,
        {},
    ],
)
def test_a_part_of_another_class_is_refused(copied_folder, entry):
    change(copied_folder / "model_index.json", unet=entry)
    assert re.search("which is not supported|has no unet", explain(copied_folder))


@pytest.mark.parametrize(
    "fields",
    [
        {"cross_attention_dim": "16"},
        {"cross_attention_dim": -1},
        {"cross_attention_dim": None},
        {"sample_size": 0},
        {"sample_size": True},
        {"sample_size": 10**12},
    ],
)
def test_a_malformed_config_is_told(copied_folder, fields):
    change(copied_folder / "unet" / "config.json", **fields)
    assert "malformed config.json" in explain(copied_folder)


@pytest.mark.parametrize(
    "names", [["../../secret"], ["/etc/passwd"], ["gone.safetensors"], [""], [".."], [3]]
)
def test_a_list_of_shards_does_not_lead_out_of_the_folder(copied_folder, names):
    folder = copied_folder / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    assert "lacks unet/" in explain(copied_folder)


@pytest.mark.parametrize(
    "extras",
    [
        {"max_pixels": 0},
        {"max_side": "192"},
        {"max_side": -8},
        {"size_multiple": 3},
        {"size_multiple": 10**6},
        {"name": 3},
        {"title": "x" * 1000},
        {"defaults": [1]},
        {"defaults": {"steps": "many"}},
        {"defaults": {"steps": True}},
        {"defaults": {"rm": 1}},
        {"vocabulary": "words"},
    ],
)
def test_a_wrong_imagineer_json_is_told(copied_folder, extras):
    (copied_folder / "imagineer.json").write_text(json.dumps(extras))
    assert "imagineer.json" in explain(copied_folder)


def test_the_hash_is_of_the_weights_and_not_of_the_place(tiny_folder, copied_folder):
    before = hash_model(copied_folder)
    assert before == hash_model(tiny_folder) == hash_model(read_model(tiny_folder))
    file = copied_folder / "unet" / "diffusion_pytorch_model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    assert hash_model(copied_folder) != before


sides = st.integers(min_value=1, max_value=10_000)
limits = st.none() | st.integers(min_value=1, max_value=4_000_000)
multiples = st.sampled_from([8, 16, 64])


@given(sides, sides, limits, limits, multiples)
def test_a_drawn_size_is_within_the_limits_and_a_multiple(tiny_folder, width, height, pixels, side, multiple):
    info = replace(read_model(tiny_folder), max_pixels=pixels, max_side=side, size_multiple=multiple)
    drawn = fit_size(info, width, height)
    for length, asked in zip(drawn, (width, height), strict=True):
        assert length >= multiple
        assert length % multiple == 0
        assert length < asked + multiple  # never enlarged by more than rounding
        assert length <= max(side or length, multiple)
    assert drawn[0] * drawn[1] <= max(pixels or math.inf, multiple**2)


@given(sides, sides, limits, limits, multiples)
def test_a_drawn_size_keeps_the_aspect_as_nearly_as_the_multiple_allows(
    tiny_folder, width, height, pixels, side, multiple
):
    info = replace(read_model(tiny_folder), max_pixels=pixels, max_side=side, size_multiple=multiple)
    scale = min(1, (side or 10**9) / max(width, height), math.sqrt((pixels or 10**12) / (width * height)))
    drawn = fit_size(info, width, height)
    if min(width, height) * scale >= multiple:  # else the short side is raised to one step
        assert abs(drawn[0] - width * scale) < multiple + 1e-6 + (side or 0) % multiple
        assert abs(drawn[1] - height * scale) < multiple + 1e-6 + (side or 0) % multiple


@given(sides, sides, limits)
def test_fitting_a_fitted_size_changes_nothing(tiny_folder, width, height, pixels):
    info = replace(read_model(tiny_folder), max_pixels=pixels)
    drawn = fit_size(info, width, height)
    assert fit_size(info, *drawn) == drawn
