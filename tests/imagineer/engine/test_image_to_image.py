"""Drawing that starts from a picture, with the real network code on tiny random models."""

import gc
import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from imagineer.engine.infotext import read_parameters, read_recipe, write_png
from imagineer.engine.lora_file import inspect_lora
from imagineer.engine.pipeline import DiffusionEngine, cover
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import EngineError, LoraRef, Reference
from tests.imagineer.engine.test_pipeline import at_each_pass, both_families, distance, pixels

# NumPy 2 tells diffusers 0.42 about its schedulers, thousands of times.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")


def reference(seed=0, size=(64, 64)) -> Reference:
    """Soft random colours: the tiny autoencoder keeps nothing finer."""
    colours = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    return Reference(picture, sha256=f"{seed:064x}")


def passes_of(engine, requests) -> list[int]:
    passes = []
    with at_each_pass(engine, passes.append):
        engine.draw(requests)
    return passes


@both_families
def test_a_row_alone_is_the_row_in_its_batch_from_the_same_reference(any_engine, request_for):
    start = reference()
    requests = [
        request_for("a red fox", seed=1, scheduler="euler_a", reference=start),
        request_for("", seed=2, scheduler="euler_a", reference=start, negative_prompt="blurry"),
        request_for("needs a second window of tokens " * 4, seed=3, scheduler="euler_a", reference=start),
    ]
    together = any_engine.draw(requests)
    for request, row in zip(requests, together, strict=True):
        [alone] = any_engine.draw([request])
        assert distance(alone, row) <= 1
        assert alone.recipe == row.recipe
    assert distance(together[0], together[1]) > 5


@both_families
def test_the_reference_and_the_strength_change_the_picture(any_engine, request_for):
    drawn = [
        any_engine.draw([request_for(steps=8, **options)])[0]
        for options in (
            {},
            {"reference": reference(0)},
            {"reference": reference(1)},
            {"reference": reference(0), "strength": 0.2},
        )
    ]
    assert all(distance(one, other) > 5 for one in drawn for other in drawn if one is not other)


def test_it_draws_what_diffusers_itself_draws(engine, request_for):
    import diffusers

    start = reference()
    [ours] = engine.draw([request_for(seed=5, steps=6, strength=0.5, reference=start)])
    parts = engine._pipe.components
    theirs = diffusers.StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        "a cat",
        image=start.image,
        strength=0.5,
        generator=torch.Generator("cpu").manual_seed(5),
        num_inference_steps=6,
        guidance_scale=5.0,
    ).images[0]
    assert np.abs(pixels(ours) - np.asarray(expected).astype(int)).max() <= 1


def test_a_low_strength_stays_near_the_reference_and_a_high_one_leaves_it(engine, request_for):
    """Near, as far as the autoencoder alone can give the picture back."""
    start = reference()

    def drawn(strength):
        return engine.draw([request_for(steps=50, strength=strength, reference=start, seed=3)])[0]

    barely, half, wholly = drawn(0.02), drawn(0.5), drawn(1.0)

    def away(one):
        return np.abs(pixels(one) - pixels(barely)).mean()

    assert 0 < away(half) < away(wholly)


def test_the_parts_are_shared_and_drawing_without_a_reference_stays_as_it_was(engine, request_for):
    [before] = engine.draw([request_for()])
    engine.draw([request_for(reference=reference())])
    [after] = engine.draw([request_for()])
    assert distance(before, after) == 0
    plain, other = engine._pipe.components, engine._from_picture.components
    assert plain.keys() == other.keys()
    assert all(other[name] is part for name, part in plain.items() if name != "scheduler")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("steps", "strength"), [(1, 1.0), (7, 0.5)])
def test_every_scheduler_starts_from_a_picture(engine, request_for, scheduler, steps, strength):
    seen = []
    options = {"scheduler": scheduler, "steps": steps, "strength": strength, "reference": reference()}
    drawn = engine.draw(
        [request_for(**options), request_for(seed=1, **options)],
        on_step=lambda step, total: seen.append((step, total)),
    )
    assert distance(*drawn) > 2
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    ("steps", "strength", "count"),
    [
        (10, 0.6, 6),
        (100, 0.29, 29),
        (49, 1 / 49, 1),
        (10, 0.05, 1),
        (3, 1.0, 3),
        (1, 0.05, 1),
        (150, 0.99, 148),
    ],
)
def test_the_strength_is_the_share_of_steps_that_is_drawn_and_at_least_one(
    engine, request_for, steps, strength, count
):
    passes = passes_of(engine, [request_for(steps=steps, strength=strength, reference=reference())])
    assert len(passes) == count


@pytest.mark.parametrize("strength", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_a_sentence(engine, request_for, strength):
    with pytest.raises(EngineError, match=r"strength .* out of range"):
        engine.draw([request_for(strength=strength, reference=reference())])


def test_the_plan_takes_together_what_starts_from_one_picture_with_one_strength(engine, request_for):
    one, same, other = reference(0), reference(0), reference(1)
    requests = [
        request_for(seed=1, reference=one),
        request_for(seed=2, reference=other),
        request_for(seed=3, reference=same),
        request_for(seed=4, reference=one, strength=0.3),
        request_for(seed=5),
        request_for(seed=6, strength=0.3),
    ]
    assert engine.plan(requests) == [[0, 2], [1], [3], [4, 5]]


@pytest.mark.parametrize(("width", "height"), [(64, 96), (96, 64), (72, 40)])
def test_the_reference_is_fitted_to_the_size_that_is_asked(engine, request_for, width, height):
    start = reference(size=(300, 50))
    [drawn] = engine.draw([request_for(width=width, height=height, reference=start)])
    assert drawn.image.size == (width, height)


def test_it_is_cropped_around_its_centre_to_cover():
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    fitted = cover(wide, (64, 64))
    assert fitted.size == (64, 64)
    # a resampling filter lets the neighbours shine through at the very edge
    assert np.abs(np.asarray(fitted).astype(int) - (0, 0, 255)).max() <= 20


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK"])
def test_any_kind_of_picture_can_be_the_reference_and_what_is_transparent_is_white(mode):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0)).convert(mode)
    fitted = cover(clear, (16, 16))
    assert (fitted.mode, fitted.size) == ("RGB", (16, 16))
    if mode in ("RGBA", "LA"):
        assert fitted.getextrema() == ((255, 255),) * 3


def test_the_recipe_names_the_reference_by_its_content_and_says_how_it_was_fitted(engine, request_for):
    [drawn] = engine.draw([request_for(strength=0.45, reference=reference(7))])
    assert drawn.recipe["reference_sha256"] == f"{7:064x}"
    assert (drawn.recipe["strength"], drawn.recipe["reference_fit"]) == (0.45, "cover")
    png = write_png(drawn)
    assert read_recipe(png) == drawn.recipe
    with Image.open(io.BytesIO(png)) as file:
        assert read_parameters(file.text["parameters"])["denoising_strength"] == 0.45


def test_without_a_reference_the_recipe_says_nothing_of_one(engine, request_for):
    [drawn] = engine.draw([request_for(strength=0.45)])
    assert not {"reference_sha256", "reference_fit", "strength"} & set(drawn.recipe)
    assert b"Denoising" not in write_png(drawn)


def test_a_lora_acts_on_it_and_is_gone_afterwards(engine, tiny_lora, request_for):
    ink = LoraRef("ink", str(tiny_lora), sha256=inspect_lora(tiny_lora).sha256)
    [before] = engine.draw([request_for(steps=6, reference=reference())])
    [inked] = engine.draw([request_for(steps=6, reference=reference(), loras=(ink,))])
    [after] = engine.draw([request_for(steps=6, reference=reference())])
    assert distance(before, inked) > 3
    assert distance(before, after) <= 1


def test_out_of_memory_halves_its_batch_too(tiny_folder, request_for):
    requests = [request_for(f"row {seed}", seed=seed, reference=reference()) for seed in range(4)]

    def run_out(samples):
        if samples > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        whole = engine.draw(requests)
        with at_each_pass(engine, run_out):
            drawn = engine.draw(requests)
        assert all(distance(one, other) <= 1 for one, other in zip(whole, drawn, strict=True))


def test_the_weights_go_with_the_engine_when_it_is_closed(tiny_folder, request_for):
    engine = DiffusionEngine(tiny_folder, device="cpu", threads=1)
    engine.draw([request_for(reference=reference())])
    unet = weakref.ref(engine._pipe.unet)
    engine.close()
    gc.collect()
    assert unet() is None
