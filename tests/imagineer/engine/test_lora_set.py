"""LoRAs in a warm pipeline: applied exactly, switched off completely, refused with a sentence."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.tensor_file import hash_file
from imagineer.engine.types import LoraError, LoraRef
from tests.imagineer.engine.tiny_model import build_tiny_lora, build_tiny_model, write_adapter_metadata


def pixels(engine, request, *loras: LoraRef) -> np.ndarray:
    from dataclasses import replace

    return np.asarray(engine.draw([replace(request, loras=loras)])[0].image).astype(int)


def refer(path, weight: float = 1.0, **options) -> LoraRef:
    return LoraRef(name=path.stem, path=str(path), weight=weight, **options)


def leftovers(engine) -> list[str]:
    """Every trace of an adapter in the pipeline's modules."""
    parts = [engine._pipe.unet, engine._pipe.text_encoder]
    names = [name for part in parts for name, _ in part.named_parameters() if "lora_" in name]
    return names + [str(name) for part in parts for name in getattr(part, "peft_config", None) or {}]


@pytest.fixture
def folder_of(tiny_folder, tiny_xl_folder):
    return {"sd15": tiny_folder, "sdxl": tiny_xl_folder}


@pytest.fixture
def fresh(tiny_folder):
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        yield engine


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("with_text_encoder", [False, True], ids=["unet", "unet-and-text"])
def test_the_same_lora_gives_the_same_picture_in_every_layout(
    family, with_text_encoder, folder_of, tmp_path, request_for
):
    model, request = folder_of[family], request_for()
    with DiffusionEngine(model, device="cpu", threads=1) as engine:
        base = pixels(engine, request)
        drawn = []
        for layout in ("kohya", "diffusers", "peft"):
            path = tmp_path / f"{layout}.safetensors"
            build_tiny_lora(path, model, layout=layout, alpha=2, with_text_encoder=with_text_encoder)
            drawn.append(pixels(engine, request, refer(path)))
    assert np.abs(drawn[0] - base).max() > 20
    assert np.abs(drawn[1] - drawn[0]).max() <= 1
    assert np.abs(drawn[2] - drawn[0]).max() <= 1


def test_a_lora_adds_exactly_weight_times_alpha_over_rank_times_up_times_down(
    tiny_folder, tmp_path, request_for
):
    """Against the same change baked into the base weights by hand."""
    weight, alpha, rank = 0.7, 6.0, 4
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, layout="peft", rank=rank, alpha=alpha)
    baked = shutil.copytree(tiny_folder, tmp_path / "baked")
    file = baked / "unet" / "diffusion_pytorch_model.safetensors"
    base, lora = load_file(file), load_file(path)
    for key in [key for key in lora if key.endswith("lora_A.weight")]:
        layer = key.removesuffix(".lora_A.weight")
        down, up = lora[key], lora[f"{layer}.lora_B.weight"]
        change = torch.tensordot(up.flatten(1), down, dims=1) * (weight * alpha / rank)
        base[f"{layer.removeprefix('unet.')}.weight"] += change
    save_file(base, file, metadata={"format": "pt"})
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        with_lora = pixels(engine, request_for(), refer(path, weight))
    with DiffusionEngine(baked, device="cpu", threads=1) as engine:
        by_hand = pixels(engine, request_for())
    assert np.abs(with_lora - by_hand).max() <= 1


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "peft"])
def test_alpha_is_honoured_in_every_layout(layout, tiny_folder, tmp_path, fresh, request_for):
    """Rank 4 with alpha 8 at weight ½ is rank 4 with alpha 4, which is rank 4 without alpha."""
    drawn = []
    for alpha, weight in ((8, 0.5), (4, 1.0), (None, 1.0)):
        path = build_tiny_lora(tmp_path / f"{alpha}.safetensors", tiny_folder, layout=layout, alpha=alpha)
        drawn.append(pixels(fresh, request_for(), refer(path, weight)))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1
    assert np.abs(drawn[0] - drawn[2]).max() <= 1


def test_alpha_in_diffusers_metadata_counts_where_no_tensor_says_otherwise(
    tiny_folder, tmp_path, fresh, request_for
):
    stated = write_adapter_metadata(unet__r=4, unet__lora_alpha=8)
    in_metadata = build_tiny_lora(tmp_path / "metadata.safetensors", tiny_folder, metadata=stated)
    in_tensors = build_tiny_lora(tmp_path / "tensors.safetensors", tiny_folder, alpha=8)
    without = build_tiny_lora(tmp_path / "without.safetensors", tiny_folder)
    one, other, third = (
        pixels(fresh, request_for(), refer(path)) for path in (in_metadata, in_tensors, without)
    )
    assert np.abs(one - other).max() <= 1
    assert np.abs(one - third).max() > 5


def test_layers_of_different_rank_keep_their_own_scale(tiny_folder, tmp_path, fresh, request_for):
    """Doubling a rank with zeros, and alpha with it, changes nothing."""
    path = build_tiny_lora(tmp_path / "plain.safetensors", tiny_folder, layout="kohya", alpha=4)
    tensors = load_file(path)
    for layer in sorted({key.partition(".")[0] for key in tensors})[::2]:
        down, up = f"{layer}.lora_down.weight", f"{layer}.lora_up.weight"
        tensors[down] = torch.cat([tensors[down], torch.zeros_like(tensors[down])])
        tensors[up] = torch.cat([tensors[up], torch.zeros_like(tensors[up])], dim=1).contiguous()
        tensors[f"{layer}.alpha"] = torch.tensor(8.0)
    mixed = tmp_path / "mixed.safetensors"
    save_file(tensors, mixed)
    assert (
        np.abs(pixels(fresh, request_for(), refer(path)) - pixels(fresh, request_for(), refer(mixed))).max()
        <= 1
    )


def test_the_base_is_bit_identical_after_a_lora_batch(fresh, tiny_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "all.safetensors", tiny_folder, layout="kohya", with_text_encoder=True)
    before = pixels(fresh, request_for())
    assert np.abs(pixels(fresh, request_for(), refer(path)) - before).max() > 20
    assert (pixels(fresh, request_for()) == before).all()


def test_a_prompt_is_encoded_anew_under_a_lora_of_the_text_encoder(fresh, tiny_folder, tmp_path, request_for):
    """The prompt's embedding is remembered from the picture before; it must not be taken for the LoRA's."""
    path = build_tiny_lora(tmp_path / "text.safetensors", tiny_folder, layout="kohya", with_text_encoder=True)
    save_file({key: value for key, value in load_file(path).items() if key.startswith("lora_te_")}, path)
    base = pixels(fresh, request_for())
    half, whole = (pixels(fresh, request_for(), refer(path, weight)) for weight in (0.5, 1.0))
    assert np.abs(whole - base).max() > 5
    assert np.abs(whole - half).max() > 2
    assert (pixels(fresh, request_for()) == base).all()


def test_weight_zero_is_the_base_and_more_weight_is_more_change(fresh, tiny_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, strength=0.2)
    base = pixels(fresh, request_for())
    changes = [
        np.abs(pixels(fresh, request_for(), refer(path, weight)) - base).mean() for weight in (0, 0.25, 1.0)
    ]
    assert changes[0] == 0
    assert changes[0] < changes[1] < changes[2]


def test_several_loras_apply_together_and_only_those_asked_for(fresh, tiny_folder, tmp_path, request_for):
    paths = [build_tiny_lora(tmp_path / f"l{seed}.safetensors", tiny_folder, seed=seed) for seed in range(3)]
    first, second, third = (refer(path, 0.5) for path in paths)
    request = request_for()
    both = pixels(fresh, request, first, second)
    alone = [pixels(fresh, request, lora) for lora in (first, second, third)]
    assert all(np.abs(both - one).max() > 5 for one in alone)
    assert np.abs(both - pixels(fresh, request, second, first)).max() <= 1
    assert (pixels(fresh, request, first, second) == both).all()


def test_what_one_lora_does_to_the_text_encoder_does_not_stay_on_for_the_next(
    fresh, tiny_folder, tmp_path, request_for
):
    on_unet = build_tiny_lora(tmp_path / "unet.safetensors", tiny_folder, seed=1)
    whole = build_tiny_lora(
        tmp_path / "whole.safetensors", tiny_folder, layout="kohya", seed=2, with_text_encoder=True
    )
    on_text = tmp_path / "text.safetensors"
    save_file(
        {key: tensor for key, tensor in load_file(whole).items() if key.startswith("lora_te_")}, on_text
    )
    sets = [(refer(on_unet),), (refer(on_text),), (refer(on_unet, 0.5), refer(on_text, 0.5)), ()]
    alone = []
    for loras in sets:
        with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
            alone.append(pixels(engine, request_for(), *loras))
    assert all(np.abs(one - alone[-1]).max() > 5 for one in alone[:-1])
    pixels(fresh, request_for(), refer(whole))
    for loras, expected in [*zip(sets, alone, strict=True), *zip(sets[::-1], alone[::-1], strict=True)]:
        assert (pixels(fresh, request_for(), *loras) == expected).all()


def test_a_lora_is_loaded_once_for_its_content_whatever_its_name(fresh, tiny_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "v1.2.final.safetensors", tiny_folder)
    copy = shutil.copy(path, tmp_path / "copy.safetensors")
    drawn = pixels(fresh, request_for(), refer(path))
    loaded = leftovers(fresh)
    assert (pixels(fresh, request_for(), LoraRef("a.name with: dots", copy)) == drawn).all()
    assert leftovers(fresh) == loaded
    twice = pixels(fresh, request_for(), refer(path, 0.5), LoraRef("again", copy, 0.5))
    assert np.abs(twice - drawn).max() <= 1, "the same content twice adds its weights"


def test_a_file_that_was_exchanged_is_loaded_anew(fresh, tiny_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder, seed=1)
    before = pixels(fresh, request_for(), refer(path))
    build_tiny_lora(path, tiny_folder, seed=2)
    assert np.abs(pixels(fresh, request_for(), refer(path)) - before).max() > 5


def test_a_file_that_is_not_the_one_that_was_added_is_refused(fresh, tiny_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "l.safetensors", tiny_folder)
    sha256 = hash_file(path)
    pixels(fresh, request_for(), refer(path, sha256=sha256))
    build_tiny_lora(path, tiny_folder, seed=2)
    with pytest.raises(LoraError, match="has changed since it was added"):
        pixels(fresh, request_for(), refer(path, sha256=sha256))


def test_old_adapters_are_given_back(fresh, tiny_folder, tmp_path, request_for):
    for seed in range(12):
        path = build_tiny_lora(tmp_path / f"l{seed}.safetensors", tiny_folder, seed=seed)
        pixels(fresh, request_for(steps=1), refer(path))
    assert len(fresh._pipe.unet.peft_config) == 8


def test_the_recipe_names_each_lora_with_weight_and_hashes(fresh, tiny_lora, request_for):
    [drawn] = fresh.draw([request_for(loras=(refer(tiny_lora, 0.8),))])
    [entry] = drawn.recipe["loras"]
    assert (entry["name"], entry["weight"], entry["sha256"]) == ("ink", 0.8, hash_file(tiny_lora))


# ---- What cannot be applied


def wrong_shapes(tiny_folder, path):
    tensors = load_file(build_tiny_lora(path, tiny_folder))
    key = next(key for key in tensors if "attn1" in key and key.endswith("down.weight"))
    tensors[key] = torch.zeros(4, 99)
    save_file(tensors, path)


def foreign_layer(tiny_folder, path):
    tensors = load_file(build_tiny_lora(path, tiny_folder))
    tensors["unet.down_blocks.9.attn1.to_q.lora.down.weight"] = torch.zeros(4, 16)
    tensors["unet.down_blocks.9.attn1.to_q.lora.up.weight"] = torch.zeros(16, 4)
    save_file(tensors, path)


def not_numbers(tiny_folder, path):
    tensors = load_file(build_tiny_lora(path, tiny_folder))
    tensors[next(iter(tensors))][0] = float("nan")
    save_file(tensors, path)


def another_width(_tiny_folder, path):
    tensors = {}
    for name, width in (("down", (4, 768)), ("up", (320, 4))):
        tensors[f"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora.{name}.weight"] = (
            torch.zeros(width)
        )
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (wrong_shapes, "size mismatch"),
        (foreign_layer, "only 28 of its 29 layers exist"),
        (not_numbers, "values that are not numbers"),
        (another_width, r"made for SD 1.5 \(text width 768\).*text width 16"),
    ],
)
def test_a_lora_that_cannot_be_applied_is_a_sentence_and_leaves_nothing(
    spoil, reason, fresh, tiny_folder, tmp_path, request_for
):
    path = tmp_path / "bad.safetensors"
    spoil(tiny_folder, path)
    before, untouched = pixels(fresh, request_for()), leftovers(fresh)
    with pytest.raises(LoraError, match=reason) as caught:
        pixels(fresh, request_for(), refer(path))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert leftovers(fresh) == untouched == []
    assert (pixels(fresh, request_for()) == before).all()


def test_one_bad_lora_of_a_set_leaves_the_good_one_usable(
    fresh, tiny_folder, tiny_lora, tmp_path, request_for
):
    bad = tmp_path / "bad.safetensors"
    wrong_shapes(tiny_folder, bad)
    base, good = pixels(fresh, request_for()), pixels(fresh, request_for(), refer(tiny_lora))
    with pytest.raises(LoraError):
        pixels(fresh, request_for(), refer(tiny_lora), refer(bad))
    assert (pixels(fresh, request_for()) == base).all()
    assert (pixels(fresh, request_for(), refer(tiny_lora)) == good).all()


def test_a_lora_of_a_model_with_other_layers_is_refused(fresh, tiny_xl_folder, tmp_path, request_for):
    path = build_tiny_lora(tmp_path / "xl.safetensors", tiny_xl_folder)
    with pytest.raises(LoraError, match="text width 32"):
        pixels(fresh, request_for(), refer(path))


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e9])
def test_a_weight_that_is_no_sensible_number_is_refused(fresh, tiny_lora, request_for, weight):
    with pytest.raises(LoraError, match="weight"):
        pixels(fresh, request_for(), refer(tiny_lora, weight))


def test_running_out_of_memory_with_a_lora_still_draws_every_row(fresh, tiny_lora, request_for):
    requests = [request_for(seed=seed, loras=(refer(tiny_lora),)) for seed in range(4)]
    whole = fresh.draw(requests)

    def run_out(_module, args):
        if args[0].shape[0] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = fresh._pipe.unet.register_forward_pre_hook(run_out)
    drawn = fresh.draw(requests)
    handle.remove()
    for one, other in zip(whole, drawn, strict=True):
        assert np.abs(np.asarray(one.image).astype(int) - np.asarray(other.image)).max() <= 1


def test_a_lora_of_another_model_does_not_change_the_plan_of_the_others(fresh, tiny_lora, request_for):
    requests = [request_for(), request_for(loras=(refer(tiny_lora),)), request_for(seed=1)]
    assert fresh.plan(requests) == [[0, 2], [1]]


def test_two_models_do_not_share_adapters(tiny_folder, tmp_path, tiny_lora, request_for):
    other_folder = build_tiny_model(tmp_path / "other", seed=1)
    with (
        DiffusionEngine(tiny_folder, device="cpu", threads=1) as one,
        DiffusionEngine(other_folder, device="cpu", threads=1) as other,
    ):
        pixels(one, request_for(), refer(tiny_lora))
        assert leftovers(other) == []
