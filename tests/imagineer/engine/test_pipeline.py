import gc
import subprocess
import sys
import weakref

import pytest
import torch

import imagineer.engine
from imagineer.engine.model_folder import fit_size
from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.types import EngineError, ModelError
from imagineer.starter_model import STARTER_MODEL_PATH
from tests.imagineer.engine.asking import ask, difference

LONG = "a crown of brass gears " * 12  # more than the 75 tokens of one window


class LimitedMemory:
    """Lets a UNet take at most so many pictures; more ends as on a full card. Remembers what was asked of it."""

    def __init__(self, engine, pictures: int, error=torch.OutOfMemoryError):
        self.pictures, self.error, self.asked = pictures, error, []
        self.hook = engine._pipe.unet.register_forward_pre_hook(self.look)

    def look(self, _unet, inputs):
        self.asked.append(inputs[0].shape[0] // 2)  # with guidance every picture goes through twice
        if self.asked[-1] > self.pictures:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB.")


def rows():
    """Eight that agree, with prompts of different lengths and their own seeds."""
    prompts = ["a red crown", "a blue fish", LONG, "", "the moon", LONG + "at night", "a key", "two cups"]
    return [ask(prompt, seed=seed, negative_prompt="blur") for seed, prompt in enumerate(prompts)]


def test_a_row_alone_equals_the_same_row_in_a_batch(engine):
    together = engine.draw(rows())
    for row, in_batch in zip(rows(), together, strict=True):
        (alone,) = engine.draw([row])
        assert difference(alone, in_batch) <= 1
        assert alone.recipe == in_batch.recipe
        assert alone.request == in_batch.request == row


def test_a_batch_drawn_twice_gives_the_same_bytes(engine):
    first, second = engine.draw(rows()), engine.draw(rows())
    assert [drawn.image.tobytes() for drawn in first] == [drawn.image.tobytes() for drawn in second]


def test_a_seed_decides_the_noise_and_a_prompt_the_picture(engine):
    same, again, other_seed, other_prompt = engine.draw(
        [ask(seed=5), ask(seed=5), ask(seed=6), ask("a blue fish", seed=5)]
    )
    assert difference(same, again) <= 1
    assert difference(same, other_seed) > 20
    assert difference(same, other_prompt) > 1


def test_the_negative_prompt_counts_only_with_guidance(engine):
    plain, negated = engine.draw([ask(), ask(negative_prompt="a fish, blurred")])
    assert difference(plain, negated) > 1
    plain, negated = engine.draw(
        [ask(guidance_scale=1.0), ask(guidance_scale=1.0, negative_prompt="a fish, blurred")]
    )
    assert difference(plain, negated) <= 1


def test_a_picture_equals_the_one_that_diffusers_itself_draws(engine, tiny_folder):
    import diffusers
    import numpy

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    theirs = pipe(
        "a red crown",
        negative_prompt="blur",
        width=64,
        height=64,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    (ours,) = engine.draw([ask(negative_prompt="blur", seed=3)])
    assert abs(numpy.asarray(theirs).astype(int) - numpy.asarray(ours.image)).max() <= 1


def test_steps_are_told_one_by_one_up_to_the_last(engine):
    told = []
    engine.draw([ask(steps=4, seed=1), ask(steps=4, seed=2)], on_step=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_steps_never_go_back_when_a_batch_takes_several_calls(engine):
    told = []
    engine.draw(rows(), on_step=lambda *step: told.append(step))
    assert len(told) == 4  # two lengths of prompts, two steps each
    assert told == sorted(told)
    assert told[-1] == (2, 2)


def test_an_exception_from_on_step_comes_through_and_leaves_the_engine_usable(engine):
    class Cancelled(Exception):
        pass

    def cancel(step, total):
        raise Cancelled(step)

    (before,) = engine.draw([ask()])
    with pytest.raises(Cancelled, match="1"):
        engine.draw([ask(steps=5)], on_step=cancel)
    (after,) = engine.draw([ask()])
    assert after.image.tobytes() == before.image.tobytes()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_halves_the_batch_goes_on_and_is_remembered(engine, fresh_engine, error):
    requests = [ask(seed=seed) for seed in range(8)]
    assert fresh_engine.plan(requests) == [list(range(8))]
    memory = LimitedMemory(fresh_engine, 3, error)
    drawn = fresh_engine.draw(requests)
    assert [number for number in memory.asked if number > 3] == [8, 4]
    assert len(drawn) == 8
    for theirs, ours in zip(drawn, engine.draw(requests), strict=True):
        assert difference(theirs, ours) <= 1
    assert fresh_engine.plan(requests) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    memory.asked.clear()
    fresh_engine.draw(requests)
    assert set(memory.asked) == {2}


def test_a_smaller_batch_learnt_for_one_size_does_not_bind_another(fresh_engine):
    LimitedMemory(fresh_engine, 2)
    fresh_engine.draw([ask(seed=seed) for seed in range(4)])
    small = [ask(seed=seed, width=32, height=32) for seed in range(8)]
    assert fresh_engine.plan(small) == [list(range(8))]


def test_when_not_even_one_picture_fits_a_sentence_says_so_and_the_engine_stays_usable(fresh_engine):
    memory = LimitedMemory(fresh_engine, 0)
    with pytest.raises(
        EngineError, match=r"not enough memory for one picture of 64×64\. Choose a smaller size"
    ):
        fresh_engine.draw([ask(), ask(seed=1)])
    memory.hook.remove()
    assert len(fresh_engine.draw([ask()])) == 1


def test_another_error_of_the_network_is_not_taken_for_lack_of_memory(fresh_engine):
    def break_down(_unet, _inputs):
        raise RuntimeError("a kernel failed")

    fresh_engine._pipe.unet.register_forward_pre_hook(break_down)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        fresh_engine.draw([ask()])


def test_numbers_that_are_no_picture_are_an_error_not_a_black_picture(fresh_engine):
    fresh_engine._pipe.unet.register_forward_hook(lambda _unet, _inputs, output: (output[0] * float("nan"),))
    with pytest.raises(EngineError, match="no picture"):
        fresh_engine.draw([ask()])


def test_max_batch_bounds_the_plan(tiny_folder):
    engine = DiffusionEngine(tiny_folder, device="cpu", max_batch=3)
    assert engine.plan([ask(seed=seed) for seed in range(7)]) == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_plan_parts_what_differs_and_joins_what_agrees(engine):
    requests = [ask(), ask(steps=3), ask("another", seed=9), ask(width=32), ask(guidance_scale=2), ask()]
    assert engine.plan(requests) == [[0, 2, 5], [1], [3], [4]]


def test_requests_that_do_not_agree_are_refused_as_one_batch(engine):
    with pytest.raises(ValueError, match="one batch"):
        engine.draw([ask(), ask(steps=3)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "at least 1"),
        ({"width": 0}, "at least 1"),
        ({"steps": 1001}, "1000 at most"),
        ({"seed": 2**64}, "seed .* out of range"),
        ({"guidance_scale": float("nan")}, "guidance scale is not a number"),
        ({"scheduler": "magic"}, "no scheduler called 'magic'. Choose one of: euler"),
    ],
)
def test_a_request_that_cannot_be_drawn_is_told_in_a_sentence(engine, change, words):
    with pytest.raises(EngineError, match=words):
        engine.draw([ask(**change)])


@pytest.mark.parametrize("seed", [-1, 0, 2**32, 2**64 - 1])
def test_any_seed_that_a_generator_takes_draws(engine, seed):
    assert engine.draw([ask(seed=seed)])[0].recipe["seed"] == seed


def test_an_sdxl_folder_draws_rows_alone_as_together(tiny_xl_folder):
    with DiffusionEngine(tiny_xl_folder, device="cpu", threads=1) as engine:
        assert engine.info.family == "sdxl"
        together = engine.draw(rows())
        for row, in_batch in zip(rows(), together, strict=True):
            assert difference(engine.draw([row])[0], in_batch) <= 1
        assert difference(together[0], together[1]) > 1


def test_the_starter_model_draws_a_card_scaled_with_its_aspect_kept():
    with DiffusionEngine(STARTER_MODEL_PATH, device="cpu", threads=1) as engine:
        (drawn,) = engine.draw([ask("a red crown", width=512, height=720, steps=4)])
        info = engine.info
    assert drawn.image.size == (drawn.width, drawn.height) == fit_size(info, 512, 720)
    assert drawn.width < 512
    assert drawn.width * drawn.height <= info.max_pixels
    assert max(drawn.image.size) <= info.max_side
    assert abs(drawn.height * 512 / 720 - drawn.width) <= info.size_multiple
    assert (drawn.recipe["asked_width"], drawn.recipe["asked_height"]) == (512, 720)
    assert (drawn.recipe["width"], drawn.recipe["height"]) == drawn.image.size
    assert max(high - low for low, high in drawn.image.getextrema()) > 50  # not one flat colour


def test_a_recipe_tells_all_that_is_needed_and_nothing_of_time_or_place(engine, tiny_folder):
    (drawn,) = engine.draw([ask("a crown", negative_prompt="blur", seed=7, scheduler="ddim", steps=3)])
    recipe = drawn.recipe
    asked = {"prompt": "a crown", "negative_prompt": "blur", "seed": 7, "scheduler": "ddim", "steps": 3}
    assert recipe.items() >= asked.items()
    assert recipe["model"]["name"] == tiny_folder.name
    assert len(recipe["model"]["hash"]) == 64
    assert recipe["backend"] == {"device": "cpu", "dtype": "float32"}
    assert recipe["libraries"]["torch"] == torch.__version__
    assert str(tiny_folder.parent) not in str(recipe)


def test_closing_gives_the_memory_back_and_the_engine_opens_again(tiny_folder):
    engine = DiffusionEngine(tiny_folder, device="cpu", threads=1)
    (before,) = engine.draw([ask()])
    parts = [weakref.ref(getattr(engine._pipe, name)) for name in ("unet", "vae", "text_encoder")]
    engine.close()
    gc.collect()
    assert [part() for part in parts] == [None, None, None]
    assert engine.draw([ask()])[0].image.tobytes() == before.image.tobytes()
    engine.close()
    engine.close()


def test_a_device_that_is_not_there_is_told_in_a_sentence(tiny_folder):
    with pytest.raises(EngineError, match=r"device 'nonsense' is not there: .* IMAGINEER_DEVICE"):
        DiffusionEngine(tiny_folder, device="nonsense").open()


def test_a_card_has_one_name_for_all_processes(tiny_folder):
    assert DiffusionEngine(tiny_folder, device="cpu").card == "cpu"
    name = DiffusionEngine(tiny_folder).card
    if torch.cuda.is_available():
        assert name == str(torch.cuda.get_device_properties(0).uuid)
    else:
        assert name == ("mps" if torch.backends.mps.is_available() else "cpu")


def test_weights_that_lack_tensors_are_refused_and_not_filled_with_noise(copied_folder):
    from safetensors.torch import load_file, save_file

    for name in ("text_encoder/model", "unet/diffusion_pytorch_model"):
        file = copied_folder / f"{name}.safetensors"
        whole = file.read_bytes()
        tensors = load_file(file)
        tensors.popitem()
        save_file(tensors, file, metadata={"format": "pt"})
        with pytest.raises(ModelError, match="could not be loaded; copy the whole folder again"):
            DiffusionEngine(copied_folder, device="cpu").open()
        file.write_bytes(whole)


def test_importing_any_module_of_the_engine_loads_neither_torch_nor_django():
    code = """
import importlib, pkgutil, sys, imagineer.engine
names = [module.name for module in pkgutil.iter_modules(imagineer.engine.__path__, "imagineer.engine.")]
assert len(names) > 10, names
for name in names:
    importlib.import_module(name)
heavy = {"torch", "diffusers", "transformers", "peft", "safetensors", "django"} & set(sys.modules)
assert not heavy, heavy
"""
    root = imagineer.engine.__path__[0].removesuffix("/imagineer/engine")
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
