import json
import pickle
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagineer.engine.lora_file import LoraInfo, explain_misfit, inspect_lora
from imagineer.engine.model_folder import read_model
from imagineer.engine.types import LoraError


def write(path, header, body=b"", length=None):
    """A safetensors file of any header: a dict, or bytes as they are."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + body)
    return path


def layer(name="lora_unet_mid_block_attentions_0_attn2_to_k", at=0, width=4, **changes):
    """One layer of rank 1 in kohya's layout: 2 × width numbers of float32 from `at` on."""
    half = 4 * width
    return {
        f"{name}.lora_down.weight": {
            "dtype": "F32",
            "shape": [1, width],
            "data_offsets": [at, at + half],
            **changes,
        },
        f"{name}.lora_up.weight": {
            "dtype": "F32",
            "shape": [width, 1],
            "data_offsets": [at + half, at + 2 * half],
        },
    }


def explain(path) -> str:
    """The sentence that refuses a file."""
    with pytest.raises(LoraError) as caught:
        inspect_lora(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_a_lora_is_told_by_its_header(loras):
    info = inspect_lora(loras["half"])
    assert (info.layout, info.family, info.rank, info.alpha) == ("kohya", "sd15", 4, 2.0)
    assert info.cross_attention_dim == 16
    assert set(info.scales.values()) == {0.5}


def test_the_hashes_are_those_of_the_file_and_of_what_follows_its_header(loras):
    import hashlib

    info, raw = inspect_lora(loras["plain"]), loras["plain"].read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    assert info.sha256 == hashlib.sha256(raw).hexdigest()
    assert info.autov3 == hashlib.sha256(raw[start:]).hexdigest()


def test_trigger_words_come_from_the_captions_tags(tmp_path):
    tags = {"ss_tag_frequency": json.dumps({"10_x": {"engraving": 9, " ink ": 12, "bad\x07": 1, "n": "9"}})}
    path = write(tmp_path / "a.safetensors", {"__metadata__": tags, **layer()}, bytes(32))
    assert inspect_lora(path).trigger_words == ("ink", "engraving", "bad")


def test_alpha_comes_from_a_pattern_for_the_layers_that_it_names(tmp_path):
    stated = {"unet.lora_alpha": 2, "unet.alpha_pattern": {"^mid.to_k": 3, "to_k": 4, "k": 9}}
    tensors = {}
    for at, name in enumerate(("mid.to_k", "up.to_k", "up.to_v")):
        for role, shape in (("lora_A", [2, 1]), ("lora_B", [1, 2])):
            offset = 16 * at + (8 if role == "lora_B" else 0)
            tensors[f"unet.{name}.{role}.weight"] = {
                "dtype": "F32",
                "shape": shape,
                "data_offsets": [offset, offset + 8],
            }
    header = {"__metadata__": {"lora_adapter_metadata": json.dumps(stated)}, **tensors}
    info = inspect_lora(write(tmp_path / "a.safetensors", header, bytes(48)))
    assert info.layout == "peft"
    assert info.scales == {"unet.mid.to_k": 1.5, "unet.up.to_k": 2.0, "unet.up.to_v": 1.0}


def test_a_lora_for_another_family_is_explained_with_both_names(loras, tiny_folder, tiny_xl_folder):
    tiny, tiny_xl = read_model(tiny_folder), read_model(tiny_xl_folder)
    plain, xl = inspect_lora(loras["plain"]), inspect_lora(loras["xl"])
    assert explain_misfit(plain, tiny) == explain_misfit(xl, tiny_xl) == ""
    assert "text width 32" in explain_misfit(xl, tiny)
    assert "the model tiny-xl is SDXL (text width 32)" in explain_misfit(plain, tiny_xl)


@pytest.mark.parametrize("share", [0, 3, 8, 100, 0.5, -1])
def test_a_truncated_file_is_refused(loras, tmp_path, share):
    raw = loras["plain"].read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(raw[: int(len(raw) * share)] if share == 0.5 else raw[:share])
    assert "cut.safetensors cannot be used as a LoRA: it is " in explain(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"[" * 200_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[]", "not a table"),
        (b"{}", "no tensors"),
        (b'{"a": 1}', "malformed"),
        (b"\xff\xfe\x00\x01", "not JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        ({"__metadata__": [1], **layer()}, "metadata"),
        ({"__metadata__": {"a": 1}, **layer()}, "metadata"),
        (layer(data_offsets=[0, 12]), "malformed"),
        (layer(data_offsets=[16, 32]), "overlap"),
        (layer(data_offsets=[8, 24]), "overlap"),
        (layer(at=10**15), "beyond its end"),
        (layer(data_offsets=[-16, 0]), "malformed"),
        (layer(data_offsets=[16, 0]), "malformed"),
        (layer(data_offsets=[True, 16]), "malformed"),
        (layer(data_offsets="0,16"), "malformed"),
        (layer(shape=[2**62, 2**62]), "malformed"),
        (layer(shape=[1.0, 4]), "malformed"),
        (layer(shape=[4]), "do not belong together"),
        (layer(shape=[2, 2]), "do not belong together"),
        ({key: entry for key, entry in layer().items() if "up" in key}, "incomplete"),
        (layer(name="lora_unet_" + "x" * 10_000), "name of a tensor"),
        ({**layer(), **layer("unet.a", at=32)}, "mixes the layouts"),
        ({"weight": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}, "no LoRA layers"),
        (layer("lora_transformer_a"), "transformer model"),
        ({"x.hada_w1_a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}, "LoHa"),
        ({"emb_params": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}, "textual inversion"),
        (
            {"first_stage_model.a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}},
            "a whole model",
        ),
    ],
)
def test_a_hostile_header_is_refused_in_one_sentence(tmp_path, header, words):
    assert words in explain(write(tmp_path / "a.safetensors", header, bytes(64)))


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path):
    assert "cut short" in explain(write(tmp_path / "a.safetensors", layer(), bytes(32), length=2**63))
    path = write(tmp_path / "b.safetensors", b"{", length=30_000_000)
    with path.open("r+b") as file:
        file.truncate(30_000_100)  # sparse: it takes no room on the disk
    assert "header is larger" in explain(path)


def test_a_pickle_under_another_name_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    path = tmp_path / "trap.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    assert "cannot be used as a LoRA" in explain(path)
    assert not (tmp_path / "sprung").exists()


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "git lfs pull" in explain(path)


def test_a_whole_model_and_a_folder_are_no_loras(tiny_folder, tmp_path):
    assert "cannot be used" in explain(tiny_folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert "cannot be read" in explain(tmp_path)
    assert "There is no LoRA file" in explain(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("alpha", ["1e999", '"much"', "null", "[1]", "1e7"])
def test_an_alpha_that_is_no_sensible_number_is_refused(tmp_path, alpha):
    stated = {"__metadata__": {"lora_adapter_metadata": f'{{"unet.lora_alpha": {alpha}}}'}}
    tensors = {
        f"unet.a.{role}.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [at, at + 16]}
        for role, at in (("lora_A", 0), ("lora_B", 16))
    }
    assert "no sensible number" in explain(write(tmp_path / "a.safetensors", stated | tensors, bytes(32)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_gives_anything_but_a_sentence(loras, tmp_path, data):
    raw = bytearray(loras["kohya"].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(raw), 3000) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(raw)
    try:
        assert isinstance(inspect_lora(path), LoraInfo)
    except LoraError as error:
        assert len(str(error)) < 600
