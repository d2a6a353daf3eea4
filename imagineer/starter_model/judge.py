"""A classifier that names what a picture shows, trained on drawings of its own; it never sees whom it judges."""

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
from .training import Budget, Run, begin_with, in_bfloat16, rate

JUDGE_PATH = Path(__file__).with_name("judge.safetensors")
_SUBJECTS, _COLOURS, _STYLES = [s.name for s in SUBJECTS], list(COLOURS), list(STYLES)
# These styles paint everything in colours of their own, so the asked ones cannot be named from the picture.
_COLOURLESS = ("brass", "engraving", "neon", "outline")
_DIMMED = ("brass", "engraving", "neon")
_UNTOLD = -100  # what cross_entropy leaves out
_WIDTHS = (3, 32, 64, 96, 128)
_BINS, _GLANCES = 32, 4


def _convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]


class Judge(nn.Module):
    """Pictures (n, 3, height, width) in -1..1, sides multiples of 8, to logits for subject, colour, background, style.

    Subject and background are read from the picture at half its size. There the blocks of pixel art are gone and a
    sticker's rim is blurred, so the style is read from textures at full size as well. The subject's colour is read
    from the colours that stand where the judge has looked for them (`glances`); over everything most of them are the
    background's.

    Colour is read as if one had been asked for: with a class for the subject's own colours, to which most pictures
    belong, the judge called every second red, yellow or pink thing its own, and often it is (hearts are red, stars
    are yellow).
    """

    def __init__(self):
        super().__init__()
        layers = [
            layer for b, a in pairwise(_WIDTHS) for layer in (*_convolution(b, a, 2), *_convolution(a, a))
        ]
        self.body = nn.Sequential(*layers)
        self.textures = nn.Sequential(*_convolution(12, 32), *_convolution(32, 48, 2))
        self.bins = nn.Sequential(nn.Conv2d(3, _BINS, 1), nn.ReLU(), nn.Conv2d(_BINS, _BINS, 1), nn.ReLU())
        self.glances = nn.Conv2d(_WIDTHS[2] + 1, _GLANCES, 1)
        with torch.no_grad():  # to begin with: everywhere, in the middle, closer to it, and at the rim
            self.glances.weight[:, -1, 0, 0] = torch.tensor([0.0, -3.0, -9.0, 3.0])
        seen = _WIDTHS[-1] * 2
        self.heads = nn.ModuleList(
            [
                nn.Linear(seen, len(_SUBJECTS)),
                self._head(seen + _GLANCES * _BINS, len(_COLOURS)),
                nn.Linear(seen, len(_COLOURS)),
                self._head(seen + 3 * 48, len(_STYLES)),
            ]
        )

    def _head(self, before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(before, 96), nn.ReLU(), nn.Linear(96, after))

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        near = self.body[:12](F.avg_pool2d(pictures, 2))
        far = self.body[12:](near)
        seen = torch.cat([far.mean((2, 3)), far.amax((2, 3))], 1)
        textures = self.textures(F.pixel_unshuffle(pictures, 2))
        spread = textures.float().flatten(2).var(2).add(1e-4).sqrt()
        styled = torch.cat([seen, textures.mean((2, 3)), textures.amax((2, 3)), spread], 1)
        coloured = torch.cat([seen, self._glance(pictures, near)], 1)
        return [head(view) for head, view in zip(self.heads, (seen, coloured, seen, styled), strict=True)]

    def _glance(self, pictures: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """Shares of the colours (n, glances * bins) in the parts that are looked at."""
        rows, columns = (torch.linspace(-1, 1, side, device=near.device) for side in near.shape[2:])
        away = (rows[:, None] ** 2 + columns**2).expand(len(near), 1, -1, -1)
        weights = self.glances(torch.cat([near, away.to(near.dtype)], 1)).float().flatten(2).softmax(2)
        bins = F.avg_pool2d(self.bins(F.avg_pool2d(pictures, 4)), 2).float().flatten(2)
        return (bins @ weights.transpose(1, 2)).flatten(1)


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
    """Blur, wobbly shapes and noise in random amounts: what a model draws is softer than what our code draws."""
    count, _, height, width = pictures.shape
    if random.random() < 0.6:
        shifts = torch.randn(count, 2, 5, 5) * 0.02 * random.random() + torch.randn(count, 2, 1, 1) * 0.02
        shifts = F.interpolate(shifts, size=(height, width), mode="bicubic").permute(0, 2, 3, 1)
        straight = F.affine_grid(
            torch.eye(2, 3).repeat(count, 1, 1), list(pictures.shape), align_corners=False
        )
        grid = straight * (1 + torch.randn(count, 1, 1, 1) * 0.03) + shifts
        pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    if random.random() < 0.5:
        zoom = random.uniform(0.5, 0.95)
        small = F.interpolate(pictures, scale_factor=zoom, mode="bilinear", antialias=True)
        pictures = F.interpolate(small, size=(height, width), mode="bilinear")
    return pictures + torch.randn_like(pictures) * 0.1 * random.random()


def _draw_pool(rng: random.Random, count: int) -> dict[int, list[tuple[np.ndarray, list[int]]]]:
    """Pictures with their labels, by height."""
    groups: dict[int, list[tuple[np.ndarray, list[int]]]] = {}
    for i in range(count):
        picture = choose_picture(rng, 128, 128 if i % 3 else 192)
        groups.setdefault(picture.height, []).append((draw_picture(picture, rng), _labels(picture)))
    return groups


def train_judge(
    work: Path, budget: Budget, *, seed: int, pool: int = 12_000, start: Path | None = None
) -> Judge:
    """Draw `pool` pictures and train on them, or go on training; leaves `work/judge.safetensors`.

    `start` is a judge's file.
    """
    torch.manual_seed(seed)
    judge = Judge()
    budget = begin_with(judge, start, budget)
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
        with in_bfloat16("cpu"):
            logits = judge(pictures)
        told = [(labels[:, i] != _UNTOLD).sum().clamp(min=1) for i in range(4)]
        losses = [
            F.cross_entropy(logits[i].float(), labels[:, i], reduction="sum") / told[i] for i in range(4)
        ]
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
    named = _name(judge, drawn)
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


def _name(judge: Judge, pictures: list[Image.Image | np.ndarray]) -> list[list[int]]:
    """What each shows: the numbers of subject, colour, background and style."""
    return [
        [int(logits.argmax(1)) for logits in judge(_batch([np.asarray(picture)[..., :3]]))]
        for picture in pictures
    ]


@torch.no_grad()
def name_styles(judge: Judge, pictures: list[Image.Image | np.ndarray]) -> list[str]:
    return [_STYLES[style] for *_, style in _name(judge, pictures)]


def fresh_pictures(seed: int, count: int) -> list[Picture]:
    """What to ask for: every subject in turn, everything else by chance."""
    rng = random.Random(f"{seed}/asked")
    return [choose_picture(rng, subjects=(SUBJECTS[i % len(SUBJECTS)],)) for i in range(count)]
