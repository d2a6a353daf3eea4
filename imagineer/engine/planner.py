"""Which requests go through the network together."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from imagineer.engine.types import GenerationRequest, LoraRef, Reference


class Signature(NamedTuple):
    """What requests of one batch have in common. `size` is the drawn size (width, height) in pixels; `strength` is 1
    where there is no reference."""

    loras: tuple[LoraRef, ...]
    size: tuple[int, int]
    steps: int
    scheduler: str
    guidance_scale: float
    reference: Reference | None = None
    strength: float = 1.0

    @property
    def drawn_steps(self) -> int:
        """The steps that are really gone: with a reference only its strength's share of them, at least one."""
        # 0.29 of 100 is 28.999999999999996 to a computer
        return max(1, int(self.steps * self.strength + 1e-6))


def sign(request: GenerationRequest, size: tuple[int, int]) -> Signature:
    """Return the signature of a request that is drawn at `size`."""
    strength = request.strength if request.reference else 1.0
    return Signature(
        request.loras,
        size,
        request.steps,
        request.scheduler,
        request.guidance_scale,
        request.reference,
        strength,
    )


def plan_batches(signatures: Iterable[Signature], batch_size: Callable[[Signature], int]) -> list[list[int]]:
    """Group the positions of equal signatures into batches of at most `batch_size(signature)`.

    Neighbours need not be equal: 54 rows of two sizes make two groups. Groups come in the order of their first
    member, members in their own order, so the plan is the same for the same input.
    """
    groups: dict[Signature, list[int]] = {}
    for index, signature in enumerate(signatures):
        groups.setdefault(signature, []).append(index)
    batches = []
    for signature, members in groups.items():
        size = max(1, batch_size(signature))
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    return batches
