"""Draw with a finished pipeline: pictures for the judge, and grids for the eye."""

import random
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from .captions import plain_prompt, unseen_prompt
from .folder import MODEL_JSON
from .judge import Judge, Verdict, fresh_pictures, judge_pictures
from .subjects import CARDS, SUBJECTS, TAROT, ZODIAC

_BATCH = 8


def draw_prompts(
    pipeline, prompts: list[str], *, seed: int, width: int = 128, height: int = 128
) -> list[Image.Image]:
    """One picture for each prompt; picture i is drawn from seed + i, whatever the batch."""
    drawn = []
    for start in tqdm(range(0, len(prompts), _BATCH), desc="drawing", unit="batch", leave=False):
        batch = prompts[start : start + _BATCH]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(batch))]
        result = pipeline(
            batch,
            num_inference_steps=MODEL_JSON["defaults"]["steps"],
            guidance_scale=MODEL_JSON["defaults"]["guidance_scale"],
            generator=generators,
            width=width,
            height=height,
        )
        drawn += result.images
    return drawn


def judge_pipeline(pipeline, judge: Judge, *, seed: int, count: int) -> dict[str, Verdict]:
    """Verdicts over `count` prompts in the form's wording, and as many in wordings that training never used."""
    asked = fresh_pictures(seed + 1000, count)
    rng = random.Random(f"{seed}/wordings")
    wordings = {
        "plain wording": [plain_prompt(p) for p in asked],
        "unseen wording": [unseen_prompt(p, rng) for p in asked],
    }
    return {
        name: judge_pictures(judge, asked, draw_prompts(pipeline, prompts, seed=seed * 100_000 + i * 10_000))
        for i, (name, prompts) in enumerate(wordings.items(), 1)
    }


def paste_grid(pictures: list[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    rows = (len(pictures) + columns - 1) // columns
    grid = Image.new("RGB", (columns * (width + 2), rows * (height + 2)), "white")
    for i, picture in enumerate(pictures):
        grid.paste(picture, (i % columns * (width + 2), i // columns * (height + 2)))
    return grid


def write_grids(pipeline, work: Path, *, count: int) -> None:
    """`work/grid-*.png`: all subjects by name alone, the sets in portrait, and `count` mixed prompts."""
    names = [f"a {s.name}" for s in SUBJECTS][: max(count, 8) if count < 40 else None]
    paste_grid(draw_prompts(pipeline, names, seed=1), 14).save(work / "grid-subjects.png")
    for title, group in (("zodiac", ZODIAC), ("cards", CARDS), ("tarot", TAROT)):
        prompts = [f"{title.capitalize()} card. Art style: flat. The {s.name.title()}" for s in group][:count]
        paste_grid(draw_prompts(pipeline, prompts, seed=2, height=192), 12).save(work / f"grid-{title}.png")
    mixed = [plain_prompt(p) for p in fresh_pictures(3, count)]
    paste_grid(draw_prompts(pipeline, mixed, seed=3), 8).save(work / "grid-mixed.png")
