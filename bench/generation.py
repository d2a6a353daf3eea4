"""G2 and G3: a picture by the naive way, by a bare batched diffusers loop, and by the engine.

One thread, processor time, in turn, with new prompts each turn, so that nothing but the negative prompt is remembered;
the median of seven pairs with the least and the most. G2t is G2 on a tiny random network, G2b and G2tb the same with
a pipeline that stays loaded. `python -m bench.generation [MODEL_FOLDER]` prints the lines, of the starter model by default.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from imagineer.engine.model_folder import fit_size
from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.schedulers import build_scheduler
from imagineer.engine.types import GenerationRequest
from imagineer.starter_model import STARTER_MODEL_PATH
from tests.imagineer.engine.tiny_model import build_tiny_model

BATCH = 8
PAIRS = 7
SUBJECTS = ("crown", "moon", "fish", "tree", "key", "boat", "star", "house")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")

Batch = list[GenerationRequest]


def measure(full: bool = False, model: Path = STARTER_MODEL_PATH) -> Iterator[dict]:
    # The smaller the network, the more of its time is overhead that batching saves: both ends are shown.
    with (
        tempfile.TemporaryDirectory() as folder,
        DiffusionEngine(build_tiny_model(Path(folder) / "tiny"), device="cpu", threads=1) as engine,
    ):
        yield from compare_with_naive(engine, identity="G2t", rows=BATCH, goal=None)
    with DiffusionEngine(model, device="cpu", threads=1) as engine:
        yield from compare_with_naive(engine, identity="G2", rows=BATCH if full else 2, goal=3.5)
        native = engine.info.native_size
        yield compare_with_bare_loop(engine, rows=BATCH, steps=10, size=(native, native), goal=1.10)
        # Steps enough for half a second of processor time a picture.
        yield compare_with_bare_loop(engine, rows=BATCH if full else 4, steps=40, size=(512, 768), goal=1.05)


def compare_with_naive(
    engine: DiffusionEngine, *, identity: str, rows: int, goal: float | None
) -> Iterator[dict]:
    """One call a row, with the pipeline loaded for each, and beside it kept: what batching alone gives."""
    native = engine.info.native_size
    batches = make_batches(engine, rows=BATCH, steps=10, size=(native, native))
    resident = load_pipeline(engine)
    difference = max(
        np.abs(np.asarray(drawn.image).astype(int) - draw_bare(resident, [drawn.request])[0]).max()
        for drawn in engine.draw(batches[0])
    )
    for suffix, what, load in (
        ("", "the pipeline loaded for each job, one call a row", lambda: load_pipeline(engine)),
        ("b", "the pipeline kept loaded, one call a row", lambda: resident),
    ):
        pairs = time_in_turn(
            batches,
            engine.draw,
            lambda batch, load=load: [draw_bare(load(), [request]) for request in batch[:rows]],
            counts=(BATCH, rows),
        )
        ratios = sorted(theirs / our for our, theirs in pairs)
        is_judged = goal is not None and not suffix
        yield {
            "id": identity + suffix,
            "what": f"{engine.info.name}, {BATCH} prompts at {native}×{native} and 10 steps, a picture, against {what}; "
            f"pictures equal within {difference}/255",
            **describe(pairs, ratios),
            "goal": f"≥ {goal}, equal within 1/255" if is_judged else "none",
            "met": bool(statistics.median(ratios) >= goal and difference <= 1) if is_judged else None,
        }


def compare_with_bare_loop(
    engine: DiffusionEngine, *, rows: int, steps: int, size: tuple[int, int], goal: float
) -> dict:
    """G3: what the engine costs beyond the same batch in a call of diffusers."""
    batches = make_batches(engine, rows=rows, steps=steps, size=size)
    pipe = load_pipeline(engine)
    pairs = time_in_turn(batches, engine.draw, lambda batch: draw_bare(pipe, batch), counts=(rows, rows))
    ratios = sorted(our / theirs for our, theirs in pairs)
    first = batches[0][0]
    return {
        "id": "G3",
        "what": f"{engine.info.name}, {rows} prompts at {first.width}×{first.height} and {steps} steps, a picture, "
        "against one bare call of diffusers",
        **describe(pairs, ratios),
        "goal": f"≤ {goal}",
        "met": statistics.median(ratios) <= goal,
    }


def make_batches(engine: DiffusionEngine, *, rows: int, steps: int, size: tuple[int, int]) -> list[Batch]:
    """Return a batch for each turn, at the largest size within `size` (pixels) that the model draws."""
    width, height = fit_size(engine.info, *size)
    return [
        [
            GenerationRequest(
                f"a {colour} {subject} on a white background, flat style",
                negative_prompt="neon style",
                seed=seed,
                width=width,
                height=height,
                steps=steps,
                guidance_scale=5.0,
                scheduler=engine.info.defaults.get("scheduler", "euler"),
            )
            for seed, subject in enumerate(SUBJECTS[:rows])
        ]
        for colour in COLOURS[: PAIRS + 1]
    ]


def load_pipeline(engine: DiffusionEngine):
    """Load the pipeline as a script does."""
    import diffusers
    import torch

    name = "StableDiffusionXLPipeline" if engine.info.family == "sdxl" else "StableDiffusionPipeline"
    pipe = getattr(diffusers, name).from_pretrained(
        engine.info.path, dtype=torch.float32, variant=engine.info.variant, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw_bare(pipe, batch: Batch) -> list:
    import torch

    first = batch[0]
    pipe.scheduler = build_scheduler(first.scheduler, pipe.scheduler.config)
    return pipe(
        [request.prompt for request in batch],
        negative_prompt=[request.negative_prompt for request in batch],
        generator=[torch.Generator("cpu").manual_seed(request.seed) for request in batch],
        num_inference_steps=first.steps,
        guidance_scale=first.guidance_scale,
        width=first.width,
        height=first.height,
    ).images


def time_in_turn(
    batches: list[Batch],
    ours: Callable[[Batch], object],
    theirs: Callable[[Batch], object],
    *,
    counts: tuple[int, int],
) -> list[tuple[float, float]]:
    """Return processor seconds a picture of both, batch by batch, after the first batch to warm up."""
    pairs = []
    for batch in batches:
        times = []
        for draw, count in zip((ours, theirs), counts, strict=True):
            begun = time.process_time()
            draw(batch)
            times.append((time.process_time() - begun) / count)
        pairs.append((times[0], times[1]))
    return pairs[1:]


def describe(pairs: list[tuple[float, float]], ratios: list[float]) -> dict:
    our, their = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
    return {
        "ours": f"{our:.0f} ms of processor time",
        "baseline": f"{their:.0f} ms",
        "ratio": f"{statistics.median(ratios):.2f}× ({ratios[0]:.2f}–{ratios[-1]:.2f})",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.generation", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=STARTER_MODEL_PATH)
    parser.add_argument("--full", action="store_true", help="all eight rows the naive way, not two")
    options = parser.parse_args()
    for line in measure(full=options.full, model=options.model):
        print(json.dumps(line, ensure_ascii=False), flush=True)
