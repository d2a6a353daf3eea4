import pytest

from imagineer.engine.lora_file import inspect_lora
from imagineer.engine.types import LoraError, LoraRef
from tests.imagineer.engine.asking import ask, difference, use


def draw(engine, *refs, **changes):
    return engine.draw([ask(loras=tuple(ref for pair in refs for ref in pair), **changes)])[0]


def adapters_left(engine) -> set[str]:
    """The names of all adapters that any part of the pipeline still holds, on or off."""
    pipe = engine._pipe
    names = set()
    for part in (pipe.unet, pipe.text_encoder):
        names |= set(getattr(part, "peft_config", {}))
        names |= {name for module in part.modules() for name in getattr(module, "lora_A", {})}
    return names


@pytest.mark.parametrize("layout", ["plain", "kohya"])
def test_a_lora_of_either_layout_changes_the_picture(engine, loras, layout):
    assert difference(draw(engine), draw(engine, use(loras[layout]))) > 20


def test_the_same_lora_draws_the_same_in_both_layouts(engine, loras):
    assert inspect_lora(loras["plain"]).layout == "diffusers"
    assert inspect_lora(loras["kohya"]).layout == "kohya"
    assert difference(draw(engine, use(loras["plain"])), draw(engine, use(loras["kohya"]))) <= 1


def test_the_weight_is_a_dial(engine, loras):
    base = draw(engine)
    strength = [difference(base, draw(engine, use(loras["plain"], weight))) for weight in (0, 0.1, 0.3, 1)]
    assert strength[0] <= 1
    assert strength[0] < strength[1] < strength[2] < strength[3]


def test_alpha_over_rank_scales_a_lora(engine, loras):
    """alpha 2 at rank 4 is half the strength."""
    assert difference(draw(engine, use(loras["half"])), draw(engine, use(loras["plain"], 0.5))) <= 1
    assert difference(draw(engine, use(loras["half"])), draw(engine, use(loras["plain"]))) > 1


def test_two_loras_at_once_differ_from_each_of_them_in_either_order(engine, loras):
    plain, other = use(loras["plain"]), use(loras["other"], 0.7)
    both = draw(engine, plain, other)
    assert difference(both, draw(engine, other, plain)) <= 1
    for alone in (plain, other):
        assert difference(both, draw(engine, alone)) > 1


def test_a_lora_named_twice_counts_with_both_weights(engine, loras):
    twice = draw(engine, use(loras["plain"], 0.25), use(loras["plain"], 0.5))
    assert difference(twice, draw(engine, use(loras["plain"], 0.75))) <= 1


def test_the_base_model_is_bit_identical_after_loras(fresh_engine, loras):
    before = draw(fresh_engine)
    draw(fresh_engine, use(loras["plain"]), use(loras["other"]))
    draw(fresh_engine, use(loras["kohya"], 2.0))
    assert draw(fresh_engine).image.tobytes() == before.image.tobytes()


def test_a_lora_draws_the_same_whatever_was_on_before_it(engine, fresh_engine, loras):
    """Among them one for the text encoder, which must not stay on beside one that is for the UNet alone."""
    alone = draw(fresh_engine, use(loras["unet_only"]))
    draw(engine, use(loras["plain"], 2.0))
    assert difference(draw(engine, use(loras["unet_only"])), alone) <= 1


def test_rows_with_a_lora_are_drawn_alone_as_together(engine, loras):
    requests = [ask(prompt, loras=use(loras["plain"])) for prompt in ("a crown", "a fish", "the moon")]
    for request, in_batch in zip(requests, engine.draw(requests), strict=True):
        assert difference(engine.draw([request])[0], in_batch) <= 1


def test_the_recipe_names_the_loras_with_weight_and_hashes(engine, loras):
    info = inspect_lora(loras["plain"])
    assert draw(engine, use(loras["plain"], 0.5)).recipe["loras"] == [
        {"name": "plain", "weight": 0.5, "sha256": info.sha256, "autov3": info.autov3}
    ]


def refuse(engine, refs) -> str:
    """What is said of the refused LoRAs; one sentence or two, no list of tensors, and nothing of them is left."""
    before, left = draw(engine), adapters_left(engine)
    with pytest.raises(LoraError) as caught:
        draw(engine, refs)
    assert adapters_left(engine) == left
    assert draw(engine).image.tobytes() == before.image.tobytes()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


def test_a_lora_of_another_family_is_refused_in_a_sentence_and_leaves_nothing(engine, loras):
    assert "xl does not fit" in refuse(engine, use(loras["xl"]))
    assert "xl does not fit" in refuse(engine, use(loras["plain"]) + use(loras["xl"]))


def test_a_lora_whose_layers_the_model_lacks_leaves_nothing(fresh_engine, loras, tmp_path):
    """One that fits by its text width, but half of whose layers do not exist: it would silently do half its work."""
    from safetensors.torch import load_file, save_file

    strange = {
        key.replace("down_blocks.1", "down_blocks.7"): t for key, t in load_file(loras["plain"]).items()
    }
    save_file(strange, tmp_path / "strange.safetensors")
    assert "cannot be applied to the model" in refuse(fresh_engine, use(tmp_path / "strange.safetensors"))
    assert adapters_left(fresh_engine) == set()


def test_a_lora_of_other_widths_leaves_nothing(fresh_engine, loras, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    wide = {
        key: torch.ones(99, t.shape[1]) if key.endswith("attn1.to_q.lora.up.weight") else t
        for key, t in load_file(loras["plain"]).items()
    }
    save_file(wide, tmp_path / "wide.safetensors")
    assert "size mismatch" in refuse(fresh_engine, use(tmp_path / "wide.safetensors"))
    assert adapters_left(fresh_engine) == set()


def test_a_lora_of_numbers_that_are_none_is_refused(engine, loras, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(loras["plain"])
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors")
    assert "values that are not numbers" in refuse(engine, use(tmp_path / "nan.safetensors"))


def test_a_lora_file_that_is_gone_is_told(engine, tmp_path):
    assert "There is no LoRA file" in refuse(engine, use(tmp_path / "gone.safetensors"))


def test_a_lora_file_that_is_not_the_one_that_was_added_is_refused(engine, loras):
    true = inspect_lora(loras["plain"]).sha256
    assert draw(engine, use(loras["plain"], sha256=true))
    assert "has changed since it was added" in refuse(engine, use(loras["plain"], sha256="0" * 64))


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -11.0, 1e9])
def test_a_weight_that_is_none_is_refused(engine, loras, weight):
    assert "use one from 0 to 1.5" in refuse(engine, use(loras["plain"], weight))


def test_a_lora_that_fails_is_not_the_error_of_the_next_batch(fresh_engine, loras, tmp_path):
    good = draw(fresh_engine, use(loras["plain"]))
    with pytest.raises(LoraError):
        draw(fresh_engine, use(tmp_path / "gone.safetensors"))
    assert difference(draw(fresh_engine, use(loras["plain"])), good) == 0


def test_only_a_few_loras_stay_loaded(fresh_engine, loras, tiny_folder, tmp_path):
    from tests.imagineer.engine.tiny_model import build_tiny_lora

    before = draw(fresh_engine)
    for seed in range(10):
        path = build_tiny_lora(tmp_path / f"{seed}.safetensors", tiny_folder, seed=100 + seed, rank=1)
        draw(fresh_engine, (LoraRef(path.stem, str(path)),), steps=1)
    assert len(adapters_left(fresh_engine)) == 8
    assert draw(fresh_engine).image.tobytes() == before.image.tobytes()
