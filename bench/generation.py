"""G2 and G3: a picture by the naive way, by a bare batched diffusers loop, and by the engine.

G2t is G2 on a tiny random network, G2b and G2tb the same with a pipeline that stays loaded.

One thread, processor time, one after the other in turn; the median of at least seven pairs with the least and the
most. `python -m bench.generation [MODEL_FOLDER]` prints the lines; without a folder it is the starter model.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.schedulers import build_scheduler
from imagineer.engine.types import GenerationRequest
from imagineer.starter_model import STARTER_MODEL_PATH
from tests.imagineer.engine.tiny_model import build_tiny_model

BATCH = 8
PAIRS = 7
SUBJECTS = ("crown", "moon", "fish", "tree", "key", "boat", "star", "house")


def measure(full: bool = False, model: Path = STARTER_MODEL_PATH) -> Iterator[dict]:
    # The smaller the network, the more of its time is overhead that batching saves: both ends are shown.
    with tempfile.TemporaryDirectory() as folder:
        with DiffusionEngine(build_tiny_model(Path(folder) / "tiny"), device="cpu", threads=1) as engine:
            yield from compare_with_naive(engine, identity="G2t", rows=BATCH, goal=None)
    with DiffusionEngine(model, device="cpu", threads=1) as engine:
        yield from compare_with_naive(engine, identity="G2", rows=BATCH if full else 2, goal=3.5)
        yield compare_with_bare_loop(engine, "a cheap picture", goal=1.10, steps=10)
        yield compare_with_bare_loop(engine, "a picture of some weight", goal=1.05, steps=50, size=(128, 192))


def compare_with_naive(
    engine: DiffusionEngine, *, identity: str, rows: int, goal: float | None
) -> Iterator[dict]:
    """One call a row, with the pipeline loaded for each, and beside it kept: what batching alone gives."""
    requests = make_requests(engine, steps=10)
    resident = load_pipeline(engine)
    difference = max(
        int(
            np.abs(
                np.asarray(drawn.image).astype(int) - np.asarray(draw_bare(resident, [drawn.request])[0])
            ).max()
        )
        for drawn in engine.draw(requests)
    )
    for suffix, what, load in (
        ("", "the pipeline loaded for each job, one call a row", lambda: load_pipeline(engine)),
        ("b", "the pipeline kept loaded, one call a row", lambda: resident),
    ):
        pairs = time_in_turn(
            lambda: engine.draw(requests),
            lambda load=load: [draw_bare(load(), [request]) for request in requests[:rows]],
            counts=(BATCH, rows),
        )
        ratios = sorted(theirs / our for our, theirs in pairs)
        is_judged = goal is not None and not suffix
        yield {
            "id": identity + suffix,
            "what": f"{engine.info.name}, {BATCH} prompts at 10 steps, a picture, against {what}; "
            f"pictures equal within {difference}/255",
            **describe(pairs, ratios),
            "goal": f"≥ {goal}, equal within 1/255" if is_judged else "none",
            "met": statistics.median(ratios) >= goal and difference <= 1 if is_judged else None,
        }


def compare_with_bare_loop(
    engine: DiffusionEngine, what: str, *, goal: float, steps: int, size: tuple[int, int] | None = None
) -> dict:
    """G3: what the engine costs beyond the same batch in a call of diffusers."""
    requests = make_requests(engine, steps=steps, size=size)
    pipe = load_pipeline(engine)
    pairs = time_in_turn(
        lambda: engine.draw(requests), lambda: draw_bare(pipe, requests), counts=(BATCH, BATCH)
    )
    ratios = sorted(our / theirs for our, theirs in pairs)
    return {
        "id": "G3",
        "what": f"{engine.info.name}, {what}: {BATCH} prompts at {steps} steps, against one bare call of diffusers",
        **describe(pairs, ratios),
        "goal": f"≤ {goal}",
        "met": statistics.median(ratios) <= goal,
    }


def make_requests(
    engine: DiffusionEngine, *, steps: int, size: tuple[int, int] | None = None
) -> list[GenerationRequest]:
    width, height = size or (engine.info.native_size, engine.info.native_size)
    return [
        GenerationRequest(
            f"a red {subject} on a white background, flat style",
            negative_prompt="neon style",
            seed=seed,
            width=width,
            height=height,
            steps=steps,
            guidance_scale=5.0,
            scheduler="dpm++_2m",
        )
        for seed, subject in enumerate(SUBJECTS[:BATCH])
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


def draw_bare(pipe, requests: list[GenerationRequest]) -> list:
    import torch

    first = requests[0]
    pipe.scheduler = build_scheduler(first.scheduler, pipe.scheduler.config)
    return pipe(
        [request.prompt for request in requests],
        negative_prompt=[request.negative_prompt for request in requests],
        generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        num_inference_steps=first.steps,
        guidance_scale=first.guidance_scale,
        width=first.width,
        height=first.height,
    ).images


def time_in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], *, counts: tuple[int, int]
) -> list[tuple[float, float]]:
    """Return processor seconds a picture of both, pair by pair, after one turn to warm up."""
    pairs = []
    for turn in range(PAIRS + 1):
        times = []
        for call, count in zip((ours, theirs), counts, strict=True):
            begun = time.process_time()
            call()
            times.append((time.process_time() - begun) / count)
        if turn:
            pairs.append((times[0], times[1]))
    return pairs


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
