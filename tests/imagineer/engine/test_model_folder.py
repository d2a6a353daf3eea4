import json
import math
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagineer.engine.model_folder import fit_size, hash_model, read_model, read_vocabulary
from imagineer.engine.types import ModelError, ModelGone
from imagineer.starter_model import STARTER_MODEL_PATH


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model that a test may spoil."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def change(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_family_size_and_width_are_read(tiny_folder, tiny_xl_folder):
    sd, xl = read_model(tiny_folder), read_model(str(tiny_xl_folder))
    assert (sd.family, sd.native_size, sd.cross_attention_dim, sd.size_multiple) == ("sd15", 64, 16, 8)
    assert (xl.family, xl.native_size, xl.cross_attention_dim) == ("sdxl", 64, 32)
    assert len(sd.weights) == 3
    assert len(xl.weights) == 4
    assert (sd.name, sd.max_pixels, sd.max_side, sd.defaults) == ("tiny", None, None, {})


def test_a_wide_text_encoder_makes_it_sd2(folder):
    change(folder / "unet" / "config.json", cross_attention_dim=1024)
    assert read_model(folder).family == "sd2"


def test_the_starter_model_is_whole_and_says_what_it_can():
    info = read_model(STARTER_MODEL_PATH)
    assert info.name == "starter"
    assert info.max_side
    assert "ram" in info.vocabulary["zodiac"]
    assert set(info.defaults) <= {"steps", "guidance_scale", "scheduler"}


def test_what_imagineer_json_says_is_read(folder):
    extras = {"name": "n", "title": "T", "max_pixels": 4096, "max_side": 96, "size_multiple": 16}
    extras |= {
        "defaults": {"steps": 12, "guidance_scale": 5, "scheduler": "ddim"},
        "vocabulary": {"subjects": ["fox"]},
    }
    (folder / "imagineer.json").write_text(json.dumps(extras))
    info = read_model(folder)
    assert {key: getattr(info, key) for key in extras} == extras


@pytest.mark.parametrize(
    "extras",
    [
        "[]",
        "{",
        '{"max_pixels": -1}',
        '{"max_side": 1e9}',
        '{"size_multiple": 7}',
        '{"size_multiple": 4}',
        '{"name": 5}',
        '{"title": "' + "x" * 201 + '"}',
        '{"defaults": {"steps": "12"}}',
        '{"defaults": {"steps": true}}',
        '{"defaults": {"lora": 1}}',
        '{"defaults": [1]}',
        '{"vocabulary": []}',
        '{"vocabulary": {"subjects": "fox"}}',
        '{"vocabulary": {"subjects": [7]}}',
        '{"vocabulary": {"subjects": ["' + "x" * 61 + '"]}}',
        '{"vocabulary": {"subjects": [' + '"x",' * 500 + '"x"]}}',
        "[" * 100_000,
    ],
)
def test_a_malformed_imagineer_json_is_refused(folder, extras):
    (folder / "imagineer.json").write_text(extras)
    with pytest.raises(ModelError, match=r"imagineer\.json"):
        read_model(folder)


@pytest.mark.parametrize(
    "wrong", ["runwayml/stable-diffusion-v1-5", "nowhere", "/nowhere/at/all", "", "a\0b", "x" * 5000]
)
def test_a_mistyped_path_is_a_sentence_and_never_a_name_on_the_hub(wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no model (folder|_index)|no model_index"):
        read_model(wrong)


@pytest.mark.parametrize(
    "missing",
    [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        read_model(folder)


@pytest.mark.parametrize("suffix", ["bin", "ckpt", "pt"])
def test_pickled_weights_are_refused_and_not_opened(folder, suffix):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / f"diffusion_pytorch_model.{suffix}").write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(ModelError, match=r"pickled weights in unet/.*\.safetensors"):
        read_model(folder)


def test_pickles_beside_safetensors_do_no_harm(folder):
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n")
    assert all(file.suffix == ".safetensors" for file in read_model(folder).weights)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"_class_name": "FluxPipeline"}, "is a FluxPipeline.*SD 1.5 and SDXL"),
        ({"_class_name": ["evil", "Pipeline"]}, "SD 1.5 and SDXL"),
        ({"_class_name": None}, "SD 1.5 and SDXL"),
        ({"unet": ["my_module", "UNet2DConditionModel"]}, "my_module"),
        ({"unet": ["diffusers", "Transformer2DModel"]}, "Transformer2DModel"),
        ({"text_encoder": ["transformers", "AutoModel"]}, "AutoModel"),
        ({"scheduler": ["diffusers", "DiffusionPipeline"]}, "DiffusionPipeline"),
        ({"vae": [None, None]}, "has no vae"),
        ({"vae": "AutoencoderKL"}, "has no vae"),
    ],
)
def test_only_the_known_parts_of_the_known_pipelines_are_loaded(folder, index, reason):
    change(folder / "model_index.json", **index)
    with pytest.raises(ModelError, match=reason):
        read_model(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * 6_000_000])
def test_a_model_index_that_is_no_small_json_object_is_refused(folder, content):
    (folder / "model_index.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        read_model(folder)


@pytest.mark.parametrize("size", [0, 20])
@pytest.mark.parametrize(
    "name",
    ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"],
)
def test_half_a_file_is_one_that_is_being_copied(folder, name, size):
    file = folder / name
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelGone, match=f"{name} that is not JSON"):
        read_model(folder)


@pytest.mark.parametrize("config", [{"cross_attention_dim": [1]}, {"sample_size": 0}, {"sample_size": "x"}])
def test_a_malformed_unet_config_is_refused(folder, config):
    change(folder / "unet" / "config.json", **config)
    with pytest.raises(ModelError, match=r"config\.json"):
        read_model(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too short"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (None, "cut short"),
    ],
)
def test_weights_that_are_cut_short_or_a_pointer_are_named(folder, content, reason):
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10] if content is None else content)
    with pytest.raises(ModelError, match=f"vae/diffusion_pytorch_model.safetensors: .*{reason}"):
        read_model(folder)


def test_a_page_in_place_of_the_weights_will_never_be_whole(folder):
    """As a download that asked for a sign-in leaves it; what is cut short may still be copied."""
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(ModelError, match="is not a safetensors file") as error:
        read_model(folder)
    assert not isinstance(error.value, ModelGone)


def test_a_tokenizer_with_many_words_is_one(folder):
    change(folder / "tokenizer" / "tokenizer.json", padding_of_a_large_vocabulary="x" * 17_000_000)
    assert read_model(folder).family == "sd15"


@pytest.mark.parametrize("part", ["", "text_encoder", "tokenizer"])
def test_a_folder_that_cannot_be_looked_into_is_gone(folder, cut_off, part):
    cut_off(folder / part)
    with pytest.raises(ModelGone, match=folder.name):
        read_model(folder)
    assert read_vocabulary(folder) == {}


def test_half_precision_and_sharded_weights_are_found(folder):
    unet, text = folder / "unet", folder / "text_encoder"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.fp16.safetensors")
    (text / "model.safetensors").rename(text / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (text / "model.safetensors.index.json").write_text(json.dumps(index))
    info = read_model(folder)
    assert info.variant == "fp16"
    assert text / "model-00001-of-00001.safetensors" in info.weights


@pytest.mark.parametrize("shard", ["../../secret.safetensors", "gone.safetensors", "/etc/passwd"])
def test_a_shard_outside_its_folder_or_gone_is_refused(folder, shard):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelError, match="lacks unet/"):
        read_model(folder)


def test_the_hash_is_of_the_weights_and_not_of_the_place(folder, tiny_folder):
    assert hash_model(folder) == hash_model(tiny_folder)
    (folder / "imagineer.json").write_text("{}")
    assert hash_model(folder) == hash_model(tiny_folder)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    assert hash_model(folder) != hash_model(tiny_folder)


# ---- Sizes


def limited(info, **limits):
    return replace(info, **{"max_pixels": 128 * 192, "max_side": 192, "size_multiple": 8} | limits)


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((512, 720), (128, 184)),
        ((512, 768), (128, 192)),
        ((768, 512), (192, 128)),
        ((512, 512), (152, 152)),
        ((128, 192), (128, 192)),
        ((64, 64), (64, 64)),
        ((2048, 64), (192, 8)),
        ((64, 2048), (8, 192)),
    ],
)
def test_sizes_are_scaled_to_what_the_model_draws(tiny_folder, asked, drawn):
    assert fit_size(limited(read_model(tiny_folder)), *asked) == drawn


def test_without_limits_only_the_multiple_counts(tiny_folder):
    assert fit_size(read_model(tiny_folder), 2048, 1152) == (2048, 1152)
    assert fit_size(read_model(tiny_folder), 100, 1) == (104, 8)


@given(
    width=st.integers(8, 2048),
    height=st.integers(8, 2048),
    max_side=st.integers(8, 2048),
    max_pixels=st.integers(64, 2048**2),
    multiple=st.sampled_from([8, 16, 32, 64]),
)
def test_a_fitted_size_is_within_the_limits_and_near_the_aspect(
    width, height, max_side, max_pixels, multiple, tiny_folder
):
    info = limited(read_model(tiny_folder), max_side=max_side, max_pixels=max_pixels, size_multiple=multiple)
    w, h = fit_size(info, width, height)
    assert w % multiple == h % multiple == 0
    assert multiple <= max(w, h) <= max(multiple, max_side)
    assert w * h <= max(multiple**2, max_pixels)
    assert w < width + multiple
    assert h < height + multiple
    if min(w, h) > multiple:
        assert abs(math.log(w / h * height / width)) <= 1.1 * multiple / min(w, h)
