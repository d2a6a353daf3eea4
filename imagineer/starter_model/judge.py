"""A classifier that names what a picture shows, trained on drawings of its own; it never sees the model that it judges."""

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from .pictures import Picture, choose_picture, draw_picture
from .styles import COLOURS, STYLES
from .subjects import SUBJECTS
from .training import Budget, Run, begin_with, rate

JUDGE_PATH = Path(__file__).with_name("judge.safetensors")
_SUBJECTS, _COLOURS, _STYLES = [s.name for s in SUBJECTS], list(COLOURS), list(STYLES)
# These styles paint everything in colours of their own, so the asked ones cannot be named from the picture.
_COLOURLESS = ("brass", "engraving", "neon", "outline")
_DIMMED = ("brass", "engraving", "neon")
_UNTOLD = -100  # what cross_entropy leaves out
_WIDTHS = (3, 32, 64, 96, 128)


class Judge(nn.Module):
    """Pictures (n, 3, height, width) in -1..1 to logits for subject, colour, background, style.

    Colour is read as if one had been asked for: with a class for the subject's own colours, to which most pictures belong,
    the judge called every second red, yellow or pink thing its own, and often it is (hearts are red, stars are yellow).
    """

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(_WIDTHS):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        counts = (len(_SUBJECTS), len(_COLOURS), len(_COLOURS), len(_STYLES))
        self.heads = nn.ModuleList(nn.Linear(_WIDTHS[-1] * 2, count) for count in counts)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        seen = self.body(F.avg_pool2d(pictures, 2))
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        return [head(pooled) for head in self.heads]


def _labels(picture: Picture) -> list[int]:
    has_colour = picture.colour and picture.style not in _COLOURLESS
    return [
        _SUBJECTS.index(picture.subject),
        _COLOURS.index(picture.colour) if has_colour else _UNTOLD,
        _COLOURS.index(picture.background),
        _STYLES.index(picture.style),
    ]


def _batch(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _augment(pictures: torch.Tensor) -> torch.Tensor:
    """Noise and blur in random amounts: what a model draws is softer than what our code draws."""
    if random.random() < 0.5:
        size = pictures.shape[-2:]
        small = F.interpolate(
            pictures, scale_factor=random.uniform(0.4, 0.9), mode="bilinear", antialias=True
        )
        pictures = F.interpolate(small, size=size, mode="bilinear")
    return pictures + torch.randn_like(pictures) * 0.12 * random.random()


def _draw_pool(rng: random.Random, count: int) -> dict[int, list[tuple[np.ndarray, list[int]]]]:
    """Pictures with their labels, by height."""
    groups: dict[int, list[tuple[np.ndarray, list[int]]]] = {}
    for i in range(count):
        picture = choose_picture(rng, 128, 128 if i % 3 else 192)
        groups.setdefault(picture.height, []).append((draw_picture(picture, rng), _labels(picture)))
    return groups


def train_judge(
    work: Path, budget: Budget, *, seed: int, pool: int = 9000, start: Path | None = None
) -> Judge:
    """Draw `pool` pictures and train on them, or go on training; leaves `work/judge.safetensors`. `start` is a judge's file."""
    torch.manual_seed(seed)
    judge = Judge()
    begin_with(judge, start)
    judge = judge.to(memory_format=torch.channels_last)
    run = Run(work / "judge-run.safetensors", judge, budget, seed=seed)
    groups = {} if run.is_done else _draw_pool(random.Random(f"{seed}/judge"), pool)
    judge.train()
    for step, fraction in run:
        random.seed(f"{seed}/{step}")
        group = groups[random.choice(sorted(groups))]
        chosen = random.sample(group, min(32, len(group)))
        pictures = _augment(_batch([picture for picture, _ in chosen])).contiguous(
            memory_format=torch.channels_last
        )
        labels = torch.tensor([label for _, label in chosen])
        logits = judge(pictures)
        told = [(labels[:, i] != _UNTOLD).sum().clamp(min=1) for i in range(4)]
        losses = [F.cross_entropy(logits[i], labels[:, i], reduction="sum") / told[i] for i in range(4)]
        right = [(logits[i].argmax(1) == labels[:, i]).float().mean() for i in range(4)]
        run.backward(
            sum(losses),
            rate(2e-3, step, fraction, warm=50),
            subject=right[0],
            style=right[3],
            colour=losses[1],
        )
    judge.eval()
    state = {k: v.half() if v.is_floating_point() else v for k, v in judge.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, work / "judge.safetensors")
    return judge


def load_judge(path: Path = JUDGE_PATH) -> Judge:
    judge = Judge()
    judge.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    return judge.eval()


@dataclass(frozen=True)
class Verdict:
    """Shares of pictures in which the judge names what was asked; colour and background where the style shows them."""

    count: int
    subject: float
    colour: float
    background: float
    style: float
    weak: tuple[str, ...]  # subjects named right in less than half of their pictures

    def __str__(self) -> str:
        line = f"{self.count} pictures: subject {self.subject:.3f} colour {self.colour:.3f}"
        line += f" background {self.background:.3f} style {self.style:.3f}"
        return f"{line}; weak: {', '.join(self.weak) or 'none'}"


@torch.no_grad()
def judge_pictures(judge: Judge, asked: list[Picture], drawn: list[Image.Image | np.ndarray]) -> Verdict:
    """Compare pictures with what was asked for."""
    named = [
        [int(logits.argmax(1)) for logits in judge(_batch([np.asarray(picture)[..., :3]]))]
        for picture in drawn
    ]
    right = [[a == b for a, b in zip(_labels(p), n, strict=True)] for p, n in zip(asked, named, strict=True)]
    mean = lambda values: float(np.mean(values)) if values else float("nan")  # noqa: E731
    by_subject: dict[str, list[bool]] = {}
    for picture, row in zip(asked, right, strict=True):
        by_subject.setdefault(picture.subject, []).append(row[0])
    return Verdict(
        count=len(asked),
        subject=mean([row[0] for row in right]),
        colour=mean([row[1] for p, row in zip(asked, right, strict=True) if _labels(p)[1] != _UNTOLD]),
        background=mean([row[2] for p, row in zip(asked, right, strict=True) if p.style not in _DIMMED]),
        style=mean([row[3] for row in right]),
        weak=tuple(sorted(name for name, rows in by_subject.items() if np.mean(rows) < 0.5)),
    )


def fresh_pictures(seed: int, count: int) -> list[Picture]:
    """What to ask for: every subject in turn, everything else by chance."""
    rng = random.Random(f"{seed}/asked")
    return [choose_picture(rng, subjects=(SUBJECTS[i % len(SUBJECTS)],)) for i in range(count)]
