"""Requests that the tiny model draws in a blink, and how far two pictures are apart."""

import numpy

from imagineer.engine.types import Generated, GenerationRequest, LoraRef


def ask(prompt: str = "a red crown", **changes) -> GenerationRequest:
    return GenerationRequest(**{"prompt": prompt, "width": 64, "height": 64, "steps": 2, **changes})


def difference(one: Generated, other: Generated) -> int:
    """The largest difference of two pictures in any pixel and channel, in steps of 1/255."""
    first, second = (numpy.asarray(drawn.image).astype(int) for drawn in (one, other))
    return int(abs(first - second).max())


def use(path, weight: float = 1.0, **fields) -> tuple[LoraRef, ...]:
    return (LoraRef(name=path.stem, path=str(path), weight=weight, **fields),)
