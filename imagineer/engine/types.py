"""What goes into the engine and what comes out of it."""

from dataclasses import dataclass, field

from PIL.Image import Image


class EngineError(Exception):
    """A sentence for the user: what happened and what to do."""


class ModelError(EngineError):
    """The model cannot be used (missing, broken, pickled …): every item that needs it fails with it."""


class ModelGone(ModelError):
    """The model's folder, or a part of it, is not there or not whole, as while its disk is away or it is being copied:
    it may come back, so what needs it waits."""


class LoraError(EngineError):
    """A LoRA cannot be applied: an error of the items that ask for it, never of the others."""


@dataclass(frozen=True)
class LoraRef:
    """A LoRA file with its weight (usually 0–1.5). With `sha256` (hex, whole file) any other content is refused."""

    name: str
    path: str
    weight: float = 1.0
    sha256: str = ""


@dataclass(frozen=True)
class Reference:
    """A picture that drawing starts from. `sha256` (hex, of the file that it was read from) is its name: equal ones
    are one picture."""

    image: Image = field(compare=False, repr=False)
    sha256: str


@dataclass(frozen=True)
class GenerationRequest:
    """One picture to be drawn. `width` and `height` are the asked size in pixels.

    With a `reference` it is image to image: the reference is scaled and cropped around its centre to cover the drawn
    size, what is transparent in it becomes white, and `strength` (above 0, to 1: start from noise alone) says how far
    the picture may go from it; that share of the steps is drawn, at least one.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    width: int = 512
    height: int = 512
    steps: int = 30
    guidance_scale: float = 7.5
    scheduler: str = "euler"
    loras: tuple[LoraRef, ...] = ()
    reference: Reference | None = None
    strength: float = 0.6


@dataclass(frozen=True)
class Generated:
    """A drawn picture (RGB). `width` and `height` are the drawn size in pixels, which may be smaller than the asked one.

    `recipe` is JSON-able and depends only on the request, the model and the installed libraries: no time, id or path.
    """

    request: GenerationRequest
    image: Image
    width: int
    height: int
    recipe: dict
