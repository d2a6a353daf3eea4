import hashlib
import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from imagineer.engine.lora_file import explain_misfit, inspect_lora
from imagineer.engine.model_folder import read_model
from imagineer.engine.types import LoraError
from tests.imagineer.engine.tiny_model import build_tiny_lora, write_adapter_metadata


def write_safetensors(path, header: object, data: bytes = b"", *, length: int | None = None):
    """Write a file with any header, true or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def make_lora(path, layer: str, width: int, *, down="lora_down.weight", up="lora_up.weight", metadata=None):
    save_file(
        {f"{layer}.{down}": torch.ones(4, width), f"{layer}.{up}": torch.ones(8, 4)}, path, metadata=metadata
    )
    return path


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "peft"])
def test_layout_rank_alpha_and_number_of_tensors_are_found(layout, tiny_folder, tmp_path):
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, layout=layout, rank=8, alpha=2)
    info = inspect_lora(path)
    assert (info.layout, info.rank, info.alpha, info.keys) == (layout, 8, 2.0, 84)
    assert set(info.scales.values()) == {0.25}
    assert info.cross_attention_dim == 16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_alpha_is_read_in_every_type(dtype, tmp_path):
    layer = "lora_unet_down_blocks_0_attn2_to_k"
    tensors = {f"{layer}.lora_down.weight": torch.ones(4, 768), f"{layer}.lora_up.weight": torch.ones(8, 4)}
    save_file(tensors | {f"{layer}.alpha": torch.tensor(2.5, dtype=dtype)}, tmp_path / "l.safetensors")
    assert inspect_lora(tmp_path / "l.safetensors").alpha == 2.5


def test_without_alpha_it_is_the_rank(tiny_folder, tmp_path):
    assert inspect_lora(build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, rank=3)).alpha == 3


def test_diffusers_metadata_gives_alpha_patterns_and_rank_stabilised_scale(tiny_folder, tmp_path):
    stated = write_adapter_metadata(
        unet__lora_alpha=8, unet__alpha_pattern={"attn2.to_k": 2, "(a+)+$": 99}, unet__use_rslora=True
    )
    info = inspect_lora(build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, rank=4, metadata=stated))
    assert {scale for layer, scale in info.scales.items() if layer.endswith("attn2.to_k")} == {1.0}  # 2 ÷ √4
    assert {scale for layer, scale in info.scales.items() if not layer.endswith("attn2.to_k")} == {4.0}


def test_of_several_alpha_patterns_the_one_that_names_most_of_a_layer_counts(tiny_folder, tmp_path):
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    stated = write_adapter_metadata(unet__alpha_pattern={layer: 12, "attn2.to_k": 8, "to_k": 2, "k": 99})
    info = inspect_lora(build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, rank=4, metadata=stated))
    assert info.scales.pop(f"unet.{layer}") == 3.0
    assert {scale for name, scale in info.scales.items() if name.endswith("to_k")} == {2.0}


def test_a_name_of_thousands_of_characters_is_refused_before_it_costs_time(tmp_path):
    layer = "unet." + "a." * 5000 + "to_k"
    with pytest.raises(LoraError, match="more than 500 characters"):
        inspect_lora(make_lora(tmp_path / "l.safetensors", layer, 8))


def test_the_hashes_are_those_of_other_tools(tiny_folder, tmp_path):
    """AutoV3 is the SHA-256 of everything behind the header (kohya's and A1111's addnet hash)."""
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, metadata={"ss_output_name": "l"})
    raw = path.read_bytes()
    info = inspect_lora(path)
    assert info.sha256 == hashlib.sha256(raw).hexdigest()
    assert info.autov3 == hashlib.sha256(raw[8 + struct.unpack("<Q", raw[:8])[0] :]).hexdigest()
    save_file(load_file(path), path, metadata={"ss_output_name": "renamed"})
    assert inspect_lora(path).autov3 == info.autov3, "metadata does not change it"
    assert inspect_lora(path).sha256 != info.sha256


@pytest.mark.parametrize(
    ("layer", "width", "metadata", "family"),
    [
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 768, None, "sd15"),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 1024, None, "sd2"),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048, None, "sdxl"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, None, "sdxl"),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", 768, None, "sd15"),
        ("lora_unet_conv_in", 16, {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ("lora_unet_conv_in", 16, {"modelspec.architecture": "stable-diffusion-v1/lora"}, "sd15"),
        ("lora_unet_conv_in", 16, {"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "sd2"),
    ],
)
def test_the_family_is_found_from_widths_layers_or_metadata(layer, width, metadata, family, tmp_path):
    assert (
        inspect_lora(make_lora(tmp_path / "l.safetensors", layer, width, metadata=metadata)).family == family
    )


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "inkstyle, in ink"}, ("inkstyle", "in ink")),
        (
            {"ss_tag_frequency": '{"10_ink": {"fox": 2, " inkstyle ": 9}, "b": {"fox": 1}}'},
            ("inkstyle", "fox"),
        ),
        ({"modelspec.trigger_phrase": "None", "ss_tag_frequency": "None"}, ()),
        ({"ss_tag_frequency": '{"a": [1], "b": {"fox": "many"}}'}, ()),
        ({"ss_tag_frequency": "[" * 100_000}, ()),
        ({"modelspec.trigger_phrase": "a\x00b\u202e" + "c" * 500}, ("ab" + "c" * 98,)),
        (None, ()),
    ],
)
def test_trigger_words_come_from_the_metadata_cleaned(metadata, words, tmp_path):
    path = make_lora(tmp_path / "l.safetensors", "lora_unet_a_attn2_to_k", 768, metadata=metadata)
    assert inspect_lora(path).trigger_words == words


def test_a_lora_that_fits_is_told_from_one_that_does_not(tiny_folder, tiny_xl_folder, tmp_path):
    lora = inspect_lora(build_tiny_lora(tmp_path / "l.safetensors", tiny_folder))
    assert explain_misfit(lora, read_model(tiny_folder)) == ""
    assert "SDXL (text width 32)" in explain_misfit(lora, read_model(tiny_xl_folder))
    text_only = inspect_lora(make_lora(tmp_path / "t.safetensors", "lora_te2_text_model_fc1", 1280))
    assert explain_misfit(text_only, read_model(tiny_folder)).startswith("it was made for SDXL,")


# ---- What is no LoRA


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("lora_unet_a.hada_w1_a", "LoHa"),
        ("lora_unet_a.lokr_w1", "LoKr"),
        ("lora_unet_a.dora_scale", "DoRA"),
        ("lora_unet_a.lora_mid.weight", "CP form"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a whole model"),
        ("emb_params", "textual inversion"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "Flux"),
        ("down_blocks.0.resnets.0.conv1.weight", "no LoRA layers"),
        ("lora_unet_a.lora_down.weight", "incomplete"),
    ],
)
def test_other_kinds_of_files_are_named_for_what_they_are(key, reason, tmp_path):
    save_file({key: torch.ones(4, 4)}, tmp_path / "l.safetensors")
    with pytest.raises(LoraError, match=reason) as caught:
        inspect_lora(tmp_path / "l.safetensors")
    assert "\n" not in str(caught.value)


def tensor(begin, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": shape or [(end - begin) // 4], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "length", "reason"),
    [
        ({}, None, "no tensors"),
        (b"", None, "not JSON"),
        (b"[1, 2]", None, "not a table"),
        (b"[" * 100_000, None, "not JSON"),
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, None, "overlap"),
        ({"a": tensor(0, 80)}, None, "cut short"),
        ({"a": tensor(0, 8)}, 9_999, "cut short"),
        ({"a": tensor(0, 8)}, 2**63, "not a safetensors file"),
        ({"a": tensor(0, 8)}, 2**64 - 1, "not a safetensors file"),
        ({"a": tensor(8, 0, [2])}, None, "malformed"),
        ({"a": tensor(0, 8, [3])}, None, "malformed"),
        ({"a": tensor(0, 8, [-2])}, None, "malformed"),
        ({"a": tensor(0, 8, [True, 2])}, None, "malformed"),
        ({"a": tensor(0, 8, [2.0])}, None, "malformed"),
        ({"a": tensor(0, 8, [1] * 17)}, None, "malformed"),
        ({"a": {"dtype": "F32"}}, None, "malformed"),
        ({"a": 5}, None, "malformed"),
        ({"__metadata__": {"a": 1}}, None, "metadata"),
        ({"__metadata__": [1]}, None, "metadata"),
    ],
)
def test_a_header_that_lies_is_refused(header, length, reason, tmp_path):
    path = write_safetensors(tmp_path / "l.safetensors", header, b"\0" * 16, length=length)
    with pytest.raises(LoraError, match=reason):
        inspect_lora(path)


def test_a_header_of_more_than_25_megabytes_is_not_read(tmp_path):
    path = tmp_path / "l.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 26_000_000))
        file.truncate(30_000_000)
    with pytest.raises(LoraError, match="25 MB"):
        inspect_lora(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too short"),
        (b"PK\x03\x04" + b"\0" * 100, "not a safetensors file"),
        (b"\x80\x02}q\x00." + b"\0" * 100, "not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    ],
)
def test_pickles_archives_and_pointers_are_refused(content, reason, tmp_path):
    (tmp_path / "l.safetensors").write_bytes(content)
    with pytest.raises(LoraError, match=reason):
        inspect_lora(tmp_path / "l.safetensors")


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), 1e30])
def test_an_alpha_that_is_no_sensible_number_is_refused(alpha, tmp_path):
    layer = "lora_unet_a_attn2_to_k"
    tensors = {f"{layer}.lora_down.weight": torch.ones(4, 768), f"{layer}.lora_up.weight": torch.ones(8, 4)}
    save_file(tensors | {f"{layer}.alpha": torch.tensor(alpha)}, tmp_path / "l.safetensors")
    with pytest.raises(LoraError, match="alpha"):
        inspect_lora(tmp_path / "l.safetensors")


@pytest.mark.parametrize("stated", ["[", "[1]", '{"unet.lora_alpha": "8"}', '{"unet.lora_alpha": 1e999}'])
def test_adapter_metadata_that_is_malformed_is_refused(stated, tiny_folder, tmp_path):
    path = build_tiny_lora(
        tmp_path / "l.safetensors", tiny_folder, metadata={"lora_adapter_metadata": stated}
    )
    with pytest.raises(LoraError, match=r"l\.safetensors cannot be used"):
        inspect_lora(path)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path):
    with pytest.raises(LoraError, match="no LoRA file"):
        inspect_lora(tmp_path / "nowhere.safetensors")
    with pytest.raises(LoraError, match="cannot be read"):
        inspect_lora(tmp_path)


@given(
    damage=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 40_000),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(damage, cut, tiny_lora, tmp_path_factory):
    raw = bytearray(tiny_lora.read_bytes()[: cut or None])
    for at, value in damage:
        if at < len(raw):
            raw[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(raw)
    try:
        inspect_lora(path)
    except LoraError as error:
        assert len(str(error)) < 600
