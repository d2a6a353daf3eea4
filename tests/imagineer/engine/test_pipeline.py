"""The engine with the real network code on tiny random models."""

import dataclasses
import gc
import json
import shutil
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import EngineError, ModelError
from imagineer.starter_model import STARTER_MODEL_PATH
from tests.imagineer.engine.tiny_model import build_tiny_model

# NumPy 2 tells diffusers 0.42 about its schedulers, thousands of times.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")


def pixels(generated) -> np.ndarray:
    return np.asarray(generated.image).astype(int)


def distance(one, other) -> int:
    return int(np.abs(pixels(one) - pixels(other)).max())


@contextmanager
def at_each_pass(engine, act):
    """Act with the size of the batch, before the real UNet of this engine does its pass."""
    handle = engine._pipe.unet.register_forward_pre_hook(lambda _module, args: act(args[0].shape[0]))
    try:
        yield
    finally:
        handle.remove()


both_families = pytest.mark.parametrize("any_engine", ["sd15", "sdxl"], indirect=True)


@both_families
def test_a_row_alone_is_the_row_in_its_batch(any_engine, request_for):
    requests = [
        request_for("a red fox", seed=1, scheduler="euler_a"),
        request_for("", seed=2, scheduler="euler_a", negative_prompt="blurry"),
        request_for("a prompt that needs a second window of tokens " * 4, seed=3, scheduler="euler_a"),
        request_for("Füchse 🦊 狐", seed=2**31 - 1, scheduler="euler_a"),
    ]
    together = any_engine.draw(requests)
    for request, row in zip(requests, together, strict=True):
        [alone] = any_engine.draw([request])
        assert distance(alone, row) <= 1
        assert alone.recipe == row.recipe


@both_families
def test_prompt_negative_prompt_and_seed_each_change_the_picture(any_engine, request_for):
    base, *others = any_engine.draw(
        [
            request_for(),
            request_for("a dog"),
            request_for(seed=1),
            request_for(negative_prompt="blurry"),
            request_for("a cat" + " and more" * 20 + " end"),
            request_for("a cat" + " and more" * 20 + " fin"),
        ]
    )
    assert all(distance(base, other) > 20 for other in others)
    assert distance(others[-1], others[-2]) > 1, "what stands in the second window counts too"


@both_families
def test_a_short_prompt_is_drawn_as_diffusers_itself_draws_it(any_engine, request_for):
    request = request_for("a cat on a mat", negative_prompt="dogs", seed=5)
    [ours] = any_engine.draw([request])
    theirs = any_engine._pipe(
        request.prompt,
        negative_prompt=request.negative_prompt,
        generator=torch.Generator("cpu").manual_seed(5),
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        width=64,
        height=64,
    ).images[0]
    assert np.abs(pixels(ours) - np.asarray(theirs).astype(int)).max() <= 1


def test_without_a_negative_prompt_sdxl_draws_as_diffusers_does(tiny_xl_folder, request_for):
    with DiffusionEngine(tiny_xl_folder, device="cpu", threads=1) as engine:
        [ours] = engine.draw([request_for(seed=5)])
        theirs = engine._pipe(
            "a cat",
            generator=torch.Generator("cpu").manual_seed(5),
            num_inference_steps=3,
            guidance_scale=5.0,
            width=64,
            height=64,
        ).images[0]
    assert np.abs(pixels(ours) - np.asarray(theirs).astype(int)).max() <= 1


def test_the_same_request_gives_the_same_pixels_in_a_new_engine(engine, tiny_folder, request_for):
    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as another:
        assert distance(engine.draw([request_for()])[0], another.draw([request_for()])[0]) == 0


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        "x" * 2000,
        "🜂" * 2000,
        "a\nb\r\n\tc\0d",
        "<|endoftext|>" * 50,
        "\ud800",
        "العربية עברית",
        '{"a": [1]} \\ "q"',
    ],
)
def test_any_prompt_gives_a_picture(engine, request_for, prompt):
    [drawn] = engine.draw([request_for(prompt, negative_prompt=prompt, steps=1)])
    assert drawn.image.size == (64, 64)
    assert drawn.image.mode == "RGB"


def test_what_a_prompt_has_beyond_its_windows_is_recorded_as_truncated(engine, request_for):
    short, long = engine.draw([request_for("x" * 600), request_for("x" * 601)])
    assert not short.recipe["truncated"]
    assert long.recipe["truncated"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_scheduler_draws_with_any_number_of_steps(engine, request_for, scheduler, steps):
    seen = []
    drawn = engine.draw(
        [
            request_for(scheduler=scheduler, steps=steps),
            request_for(seed=1, scheduler=scheduler, steps=steps),
        ],
        on_step=lambda step, total: seen.append((step, total)),
    )
    assert distance(*drawn) > 5
    assert seen[-1] == (steps, steps)
    assert seen == sorted(seen)


def test_schedulers_give_different_pictures(engine, request_for):
    requests = [
        request_for(scheduler=name, steps=6) for name in ("euler", "euler_a", "euler_karras", "dpm++_2m")
    ]
    drawn = [engine.draw([request])[0] for request in requests]
    assert all(distance(one, other) > 1 for one in drawn for other in drawn if one is not other)


def test_the_scheduler_keeps_what_belongs_to_the_weights(tiny_folder, tmp_path, request_for):
    folder = shutil.copytree(tiny_folder, tmp_path / "v-model")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    with DiffusionEngine(folder, device="cpu", threads=1) as engine:
        for name in SCHEDULERS:
            engine.draw([request_for(scheduler=name, steps=1)])
            assert engine._pipe.scheduler.config.prediction_type == "v_prediction"
            assert engine._pipe.scheduler.config.beta_start == 0.00085


def test_an_unknown_scheduler_is_a_sentence_that_names_the_known_ones(engine, request_for):
    with pytest.raises(EngineError, match=r"no scheduler called 'magic'.*euler, "):
        engine.draw([request_for(scheduler="magic")])


def test_without_guidance_the_negative_prompt_changes_nothing(engine, request_for):
    one, other = engine.draw(
        [request_for(guidance_scale=1.0), request_for(guidance_scale=1.0, negative_prompt="x" * 200)]
    )
    assert distance(one, other) <= 1


@pytest.mark.parametrize(("width", "height"), [(64, 96), (96, 64), (72, 40), (8, 8), (128, 8)])
def test_portrait_landscape_and_odd_sizes_are_drawn_as_asked(engine, request_for, width, height):
    [drawn] = engine.draw([request_for(width=width, height=height, steps=1)])
    assert drawn.image.size == (drawn.width, drawn.height) == (width, height)


def test_a_size_beyond_the_model_is_scaled_and_both_are_recorded(tiny_folder, tmp_path, request_for):
    folder = shutil.copytree(tiny_folder, tmp_path / "small")
    (folder / "imagineer.json").write_text('{"name": "small", "max_side": 96, "max_pixels": 6144}')
    with DiffusionEngine(folder, device="cpu", threads=1) as engine:
        [drawn] = engine.draw([request_for(width=512, height=768, steps=1)])
    recipe = drawn.recipe
    assert drawn.image.size == (64, 96)
    assert (recipe["asked_width"], recipe["asked_height"], recipe["width"], recipe["height"]) == (
        512,
        768,
        64,
        96,
    )


def test_the_starter_model_draws_a_card_at_its_own_size_and_aspect(request_for):
    rows = [
        request_for(f"a {thing}", seed=seed, width=512, height=720)
        for seed, thing in enumerate(("crown", "fish"))
    ]
    with DiffusionEngine(STARTER_MODEL_PATH, device="cpu", threads=1) as engine:
        info, drawn = engine.info, engine.draw(rows)
    for row in drawn:
        assert row.image.size == (row.width, row.height)
        assert row.width * row.height <= info.max_pixels
        assert max(row.image.size) <= info.max_side
        assert row.width / row.height == pytest.approx(512 / 720, abs=0.05)
        assert pixels(row).std() > 10, "not one flat colour"
    assert distance(*drawn) > 20


def test_the_recipe_is_json_and_names_no_time_path_or_id(engine, tiny_folder, request_for):
    request = request_for("a cat", negative_prompt="dogs", seed=9)
    recipe = engine.draw([request])[0].recipe
    assert json.loads(json.dumps(recipe)) == recipe
    assert str(tiny_folder.parent) not in json.dumps(recipe)
    for key in ("prompt", "negative_prompt", "seed", "steps", "guidance_scale", "scheduler"):
        assert recipe[key] == getattr(request, key)
    assert recipe["model"]["name"] == tiny_folder.name
    assert len(recipe["model"]["hash"]) == 64
    assert recipe["libraries"]["torch"] == torch.__version__


# ---- Batches and memory


def test_the_plan_takes_together_what_agrees(engine, request_for):
    requests = [request_for(seed=seed, width=64 if seed % 2 else 96) for seed in range(6)]
    requests.append(request_for(steps=4))
    assert engine.plan(requests) == [[0, 2, 4], [1, 3, 5], [6]]


def test_a_plan_knows_the_device_even_when_nothing_was_drawn_yet(tiny_folder, request_for):
    engine = DiffusionEngine(tiny_folder, device="auto", threads=1)
    engine.plan([request_for()])
    assert engine.device in ("cpu", "cuda", "mps")
    engine.close()


def test_draw_refuses_requests_that_do_not_agree(engine, request_for):
    with pytest.raises(ValueError, match="one batch"):
        engine.draw([request_for(), request_for(steps=4)])


def test_out_of_memory_halves_the_batch_loses_no_row_and_is_remembered(tiny_folder, request_for):
    requests = [request_for(f"row {seed}", seed=seed) for seed in range(8)]
    passes = []

    def run_out(samples):  # guidance sends two samples for a picture
        passes.append(samples // 2)
        if samples > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        whole = engine.draw(requests)
        with at_each_pass(engine, run_out):
            drawn = engine.draw(requests)
        assert all(distance(one, other) <= 1 for one, other in zip(whole, drawn, strict=True))
        assert passes == [8, 4] + [2] * 3 * 4
        assert [len(batch) for batch in engine.plan(requests)] == [2, 2, 2, 2]
        assert [len(batch) for batch in engine.plan([request_for(width=96)] * 8)] == [8], (
            "other sizes are not judged"
        )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_every_kind_of_out_of_memory_is_known_and_one_picture_too_many_is_a_sentence(
    tiny_folder, request_for, error
):
    def run_out(_samples):
        raise error

    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        with (
            at_each_pass(engine, run_out),
            pytest.raises(EngineError, match=r"not enough memory.*64×64.*smaller size"),
        ):
            engine.draw([request_for()] * 4)
        assert engine.draw([request_for()])


def test_any_other_error_of_the_network_comes_through_unchanged(engine, request_for):
    def fail(_samples):
        raise RuntimeError("something else")

    with at_each_pass(engine, fail), pytest.raises(RuntimeError, match="something else"):
        engine.draw([request_for()])


def test_max_batch_bounds_the_plan_and_the_calls(tiny_folder, request_for):
    sizes = []
    with DiffusionEngine(tiny_folder, device="cpu", threads=1, max_batch=3) as engine:
        requests = [request_for(seed=seed, guidance_scale=1.0) for seed in range(5)]
        assert engine.plan(requests) == [[0, 1, 2], [3, 4]]
        with at_each_pass(engine, sizes.append):
            assert len(engine.draw(requests)) == 5
    assert max(sizes) == 3


def test_numbers_that_are_no_picture_are_an_error_and_not_a_black_picture(tiny_folder, tmp_path, request_for):
    folder = shutil.copytree(tiny_folder, tmp_path / "sick")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_out.bias"] = torch.full_like(weights["decoder.conv_out.bias"], float("nan"))
    save_file(weights, file, metadata={"format": "pt"})
    with (
        DiffusionEngine(folder, device="cpu", threads=1) as engine,
        pytest.raises(EngineError, match="no picture"),
    ):
        engine.draw([request_for()])


# ---- Progress and cancelling


class CancelledError(Exception):
    pass


def test_what_on_step_raises_comes_through_and_the_engine_stays_usable(engine, request_for):
    [before] = engine.draw([request_for()])

    def stop(step, total):
        assert total == 3
        if step == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        engine.draw([request_for("something else", seed=7)] * 2, on_step=stop)
    [after] = engine.draw([request_for()])
    assert distance(before, after) == 0


def test_steps_count_up_over_the_whole_batch_even_when_it_is_cut_up(tiny_folder, request_for):
    seen = []
    with DiffusionEngine(tiny_folder, device="cpu", threads=1, max_batch=2) as engine:
        engine.draw(
            [request_for(seed=seed, steps=4) for seed in range(4)], on_step=lambda *at: seen.append(at)
        )
    assert len(seen) == 8
    assert seen == sorted(seen)
    assert seen[-1] == (4, 4)


# ---- Opening and closing


def test_close_gives_the_weights_back_and_the_engine_opens_again(tiny_folder, request_for):
    engine = DiffusionEngine(tiny_folder, device="cpu", threads=1)
    [before] = engine.draw([request_for()])
    unet, weight = weakref.ref(engine._pipe.unet), weakref.ref(engine._pipe.unet.conv_in.weight)
    engine.close()
    gc.collect()
    assert unet() is None
    assert weight() is None
    engine.close()
    [after] = engine.draw([request_for()])
    assert distance(before, after) == 0
    engine.close()


def test_weights_that_are_whole_but_wrong_are_a_short_sentence(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "wrong")
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"block_out_channels": [32, 64]}))
    engine = DiffusionEngine(folder, device="cpu")
    with pytest.raises(ModelError, match=r"The model wrong could not be loaded") as caught:
        engine.open()
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
def test_weights_that_lack_a_tensor_are_refused_and_not_filled_with_noise(tiny_folder, tmp_path, part):
    folder = shutil.copytree(tiny_folder, tmp_path / "lacking")
    tensors = load_file(folder / f"{part}.safetensors")
    del tensors[sorted(tensors)[len(tensors) // 2]]
    save_file(tensors, folder / f"{part}.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match="The model lacking could not be loaded; copy the whole folder again"
    ):
        DiffusionEngine(folder, device="cpu").open()


def test_a_device_that_is_not_there_is_a_sentence(tiny_folder):
    with pytest.raises(EngineError, match=r"'cuda:7' is not there.*IMAGINEER_DEVICE"):
        DiffusionEngine(tiny_folder, device="cuda:7").open()


def test_a_processor_is_named_by_its_kind(tiny_folder):
    assert DiffusionEngine(tiny_folder, device="cpu").card == "cpu"


def test_a_card_is_named_by_what_is_burnt_into_it_and_not_by_its_number(tiny_folder, monkeypatch):
    """CUDA itself is stood in for: two processes number the cards of one host in opposite order."""
    uuids = {"cuda:0": "0a", "cuda:1": "1b", "cuda": "0a"}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: SimpleNamespace(uuid=uuids[at]))
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    names = {at: DiffusionEngine(tiny_folder, device=at).card for at in uuids}
    assert names == {"cuda:0": "cuda:GPU-0a", "cuda:1": "cuda:GPU-1b", "cuda": "cuda:GPU-0a"}


def test_the_recipe_names_the_weights_that_drew_even_after_the_folder_was_exchanged(
    tiny_folder, tmp_path, request_for
):
    folder = shutil.copytree(tiny_folder, tmp_path / "exchanged")
    with DiffusionEngine(folder, device="cpu", threads=1) as engine:
        [before] = engine.draw([request_for()])
        shutil.rmtree(folder)
        build_tiny_model(folder, seed=1)
        [after] = engine.draw([request_for()])
        assert distance(before, after) == 0
        assert before.recipe == after.recipe
        engine.close()
        [anew] = engine.draw([request_for()])
    assert distance(before, anew) > 5
    assert before.recipe["model"]["hash"] != anew.recipe["model"]["hash"]


def test_a_size_below_one_pixel_or_no_steps_are_refused(engine, request_for):
    for wrong in (request_for(width=0), request_for(steps=0)):
        with pytest.raises(EngineError, match="at least 1"):
            engine.plan([wrong])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": 1001}, "Ask for 1000 at most"),
        ({"seed": 2**64}, r"seed 18446744073709551616 is out of range"),
        ({"seed": -(2**63) - 1}, "out of range"),
        ({"guidance_scale": float("nan")}, "guidance scale is not a number"),
        ({"guidance_scale": float("inf")}, "guidance scale is not a number"),
    ],
)
def test_numbers_that_no_generator_or_scheduler_takes_are_a_sentence(engine, request_for, wrong, words):
    with pytest.raises(EngineError, match=words):
        engine.draw([request_for(**wrong)])


@pytest.mark.parametrize("seed", [-1, 0, 2**32, 2**64 - 1])
def test_any_seed_that_a_generator_takes_draws(engine, request_for, seed):
    assert engine.draw([request_for(seed=seed, steps=1)])[0].recipe["seed"] == seed


def test_drawing_writes_nothing_to_the_console(tiny_folder, tiny_lora, request_for, capfd, recwarn):
    from imagineer.engine.types import LoraRef

    with DiffusionEngine(tiny_folder, device="cpu", threads=1) as engine:
        engine.draw([request_for("x" * 1000, loras=(LoraRef("ink", str(tiny_lora)),))])
    assert capfd.readouterr() == ("", "")


def test_requests_are_frozen_and_compare_by_value(request_for):
    assert request_for() == request_for()
    with pytest.raises(dataclasses.FrozenInstanceError):
        request_for().seed = 1
