"""DiffusionEngine: one open model that draws batches of requests with diffusers."""

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from PIL import Image, ImageOps

from imagineer.engine.loading import (
    check_text_encoders,
    choose_device,
    load_pipeline,
    name_card,
    share_parts,
    silence_libraries,
)
from imagineer.engine.lora_set import LoraSet
from imagineer.engine.memory import free_memory, is_out_of_memory
from imagineer.engine.model_folder import ModelInfo, fit_size, hash_model, read_model
from imagineer.engine.planner import Signature, plan_batches, sign
from imagineer.engine.prompts import Cut, Embedding, PromptEncoder
from imagineer.engine.recipe import build_recipe
from imagineer.engine.schedulers import build_scheduler, find_scheduler
from imagineer.engine.types import EngineError, Generated, GenerationRequest, ModelError

log = logging.getLogger(__name__)

MAX_STEPS = 1000  # the steps that these models were trained with; schedulers break beyond


@dataclass(frozen=True)
class _Row:
    seed: int
    wanted: Embedding
    unwanted: Embedding
    is_truncated: bool

    @property
    def length(self) -> int:
        return self.wanted.tokens.shape[0]


class DiffusionEngine:
    """Draws requests with one model; keeps it warm until `close()`.

    Not for several threads at once. `device` is "auto" (CUDA, else Apple's MPS, else CPU) or a torch device;
    `threads` the CPU threads that torch may use in this process; `max_batch` an upper bound on pictures in a batch.
    Raises ModelError when the model folder is not whole.
    """

    def __init__(
        self,
        model_path: Path | str,
        *,
        device: str = "auto",
        threads: int | None = None,
        max_batch: int | None = None,
    ):
        self.info: ModelInfo = read_model(model_path)
        self.device = device
        self._threads = threads
        self._max_batch = max_batch
        self._learnt: dict[tuple, int] = {}  # kind of work → batch size that memory allowed
        self._pipe: Any = None
        self._from_picture: Any = None  # the same parts for image to image

    @property
    def card(self) -> str:
        """The device by a name that all processes of the host agree on: "cpu", "mps" or "cuda:GPU-<uuid>".

        A number would not do: CUDA_VISIBLE_DEVICES gives each process its own. Raises EngineError as `open` does.
        """
        return name_card(choose_device(self.device))

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Load the model; do nothing when it is loaded. Raises ModelError when it cannot be loaded."""
        if self._pipe is not None:
            return
        silence_libraries()
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        self.device = choose_device(self.device)
        # Now and not when a picture is done: the folder may be exchanged while these weights are in memory.
        self._hash = hash_model(self.info)
        try:
            self._pipe = load_pipeline(self.info, self.device)
            check_text_encoders(self._pipe, self.info)
        except Exception as error:
            self.close()
            if is_out_of_memory(error):
                raise ModelError(
                    f"The model {self.info.name} does not fit into the memory of {self.device}."
                ) from error
            read_model(self.info.path)  # says so if the folder has gone away meanwhile
            reason = str(error).strip().split("\n")[0][:300]
            raise ModelError(
                f"The model {self.info.name} could not be loaded; copy the whole folder again. ({reason})"
            ) from error
        self._scheduler_config = dict(self._pipe.scheduler.config)
        self._from_picture = share_parts(self._pipe, self.info)
        self._prompts = PromptEncoder(self._pipe)
        self._loras = LoraSet(self._pipe, self.info)

    def close(self) -> None:
        """Give all memory back. The engine can be opened again."""
        self._pipe = self._from_picture = self._prompts = self._loras = None
        free_memory()

    def plan(self, requests: Sequence[GenerationRequest]) -> list[list[int]]:
        """Return batches of positions in `requests`: those that go through the network together, in order.

        Opens the engine, because how many fit depends on the device.
        """
        self.open()
        return plan_batches((self._sign(request) for request in requests), self._batch_size)

    def draw(
        self, requests: Sequence[GenerationRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Generated]:
        """Draw one batch of requests that agree as `plan` groups them; return the pictures in their order.

        `on_step(step, total)` is called after every denoising step, with the share of the whole batch that is done;
        what it raises comes through and leaves the engine usable. Raises LoraError when a LoRA of the batch cannot
        be applied, EngineError when not even one picture fits into memory or the scheduler is unknown.
        """
        signatures = {self._sign(request) for request in requests}
        if len(signatures) != 1:
            raise ValueError("draw() takes the requests of one batch; plan() makes the batches")
        signature = signatures.pop()
        find_scheduler(signature.scheduler)
        self.open()
        loras = self._loras.activate(signature.loras)
        rows = self._embed(requests, tuple((info.sha256, ref.weight) for ref, info in loras))
        images = self._draw_rows(signature, rows, on_step)
        model = {"name": self.info.name, "family": self.info.family, "hash": self._hash}
        backend = {
            "device": self.device.split(":")[0],
            "dtype": str(self._pipe.unet.dtype).removeprefix("torch."),
        }
        drawn = []
        for request, image, row in zip(requests, images, rows, strict=True):
            recipe = build_recipe(
                request,
                size=signature.size,
                model=model,
                loras=loras,
                backend=backend,
                is_truncated=row.is_truncated,
            )
            drawn.append(Generated(request, image, *signature.size, recipe))
        return drawn

    def _embed(self, requests: Sequence[GenerationRequest], lora_key: tuple) -> list[_Row]:
        prompts = [self._prompts.cut(request.prompt) for request in requests]
        negatives = [self._cut_negative(request) for request in requests]
        counts = [
            max(len(prompt.windows), len(no.windows)) for prompt, no in zip(prompts, negatives, strict=True)
        ]
        embeddings = self._prompts.encode(prompts + negatives, counts + counts, lora_key)
        half = len(requests)
        return [
            _Row(request.seed, wanted, unwanted, prompt.is_truncated or negative.is_truncated)
            for request, wanted, unwanted, prompt, negative in zip(
                requests, embeddings[:half], embeddings[half:], prompts, negatives, strict=True
            )
        ]

    def _draw_rows(
        self, signature: Signature, rows: list[_Row], on_step: Callable[[int, int], None] | None
    ) -> list[Image.Image]:
        """Draw all rows in as few calls as lengths of prompts and memory allow."""
        images: dict[int, Image.Image] = {}

        def report(share: float) -> None:
            if on_step:
                on_step(
                    round((len(images) + share * len(piece)) / len(rows) * signature.steps), signature.steps
                )

        # A picture must not depend on how long its neighbours' prompts are: only equal lengths share a call.
        waiting = deque(sorted(range(len(rows)), key=lambda index: rows[index].length))
        while waiting:
            equal = [index for index in waiting if rows[index].length == rows[waiting[0]].length]
            piece = equal[: self._batch_size(signature)]
            drawn = self._run(signature, [rows[index] for index in piece], report)
            if drawn is None:
                self._shrink(signature, len(piece))
                continue
            images.update(zip(piece, drawn, strict=True))
            for _ in piece:
                waiting.popleft()
        return [images[index] for index in range(len(rows))]

    def _sign(self, request: GenerationRequest) -> Signature:
        if min(request.width, request.height) < 1 or request.steps < 1:
            raise EngineError("A picture needs a width, a height and steps of at least 1.")
        if request.steps > MAX_STEPS:
            raise EngineError(
                f"{request.steps} steps are more than a model knows. Ask for {MAX_STEPS} at most."
            )
        if not -(2**63) <= request.seed < 2**64:
            raise EngineError(f"The seed {request.seed} is out of range. Use a number from 0 to 2⁶⁴ − 1.")
        if not math.isfinite(request.guidance_scale):
            raise EngineError("The guidance scale is not a number. Use one from 1 to 20.")
        if not 0 < request.strength <= 1:
            raise EngineError(f"The strength {request.strength} is out of range. Use one above 0, up to 1.")
        return sign(request, fit_size(self.info, request.width, request.height))

    def _cut_negative(self, request: GenerationRequest) -> Cut:
        # Without guidance the negative prompt is not looked at; SDXL wants zeros where there is none.
        text = request.negative_prompt if request.guidance_scale > 1 else ""
        is_zero = not text and bool(self._pipe.config.get("force_zeros_for_empty_prompt"))
        return self._prompts.cut(text, is_zero=is_zero)

    def _run(
        self, signature: Signature, rows: list[_Row], report: Callable[[float], None]
    ) -> list[Image.Image] | None:
        """Draw the rows in one call; None when there is not enough memory for so many."""
        import torch

        pipe = self._from_picture if signature.reference else self._pipe
        pipe.scheduler = build_scheduler(signature.scheduler, self._scheduler_config)
        inputs = _start_from(signature) | {
            "prompt_embeds": torch.stack([row.wanted.tokens for row in rows]),
            "negative_prompt_embeds": torch.stack([row.unwanted.tokens for row in rows]),
        }
        if rows[0].wanted.pooled is not None:
            inputs["pooled_prompt_embeds"] = torch.stack([row.wanted.pooled for row in rows])
            inputs["negative_pooled_prompt_embeds"] = torch.stack([row.unwanted.pooled for row in rows])

        def after_step(pipe: Any, step: int, _timestep: Any, _tensors: dict) -> dict:
            report((step + 1) / pipe.num_timesteps)
            return {}

        try:
            pictures = pipe(
                **inputs,
                # A generator on the CPU for each row gives it the same noise in any batch and on any device.
                generator=[torch.Generator("cpu").manual_seed(row.seed) for row in rows],
                num_inference_steps=signature.steps,
                guidance_scale=signature.guidance_scale,
                output_type="pt",
                callback_on_step_end=after_step,
            ).images
            is_finite = bool(torch.isfinite(pictures).all())
            pixels = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            # SDXL's autoencoder works in float32 for a moment, and would stay so
            pipe.vae.to(pipe.unet.dtype)
            if not is_out_of_memory(error):
                raise
            return None  # and not from here on: the traceback holds the tensors that are to be freed
        if not is_finite:
            raise EngineError(
                "The model gave numbers that are no picture. Use another scheduler, a lower guidance scale or LoRA weight."
            )
        return [Image.fromarray(picture) for picture in pixels]

    def _shrink(self, signature: Signature, tried: int) -> None:
        free_memory()
        width, height = signature.size
        if tried == 1:
            raise EngineError(
                f"There is not enough memory for one picture of {width}×{height}. Choose a smaller size."
            )
        self._learnt[_kind(signature)] = tried // 2
        log.warning("engine out of memory: batch of %d at %dx%d halved", tried, width, height)

    def _batch_size(self, signature: Signature) -> int:
        pixels = signature.size[0] * signature.size[1]
        if self.device.startswith("cuda"):
            import torch

            # Measured by others: 10 GiB hold 8–10 pictures of 512² with SD 1.5 in half precision, SDXL about half.
            gibibytes = torch.cuda.get_device_properties(self.device).total_memory / 2**30
            room, most = gibibytes * (2**17 if self.info.family == "sdxl" else 2**18), 32
        else:
            # More than eight gain nothing on a CPU (0.22 s a picture against 0.21 at 16), large pictures gain nothing at all.
            room, most = 8 * 256**2, 8
        size = max(1, min(most, int(room // pixels), self._max_batch or most))
        return min(size, self._learnt.get(_kind(signature), size))


def _kind(signature: Signature) -> tuple:
    return signature.size, len(signature.loras), signature.guidance_scale > 1, bool(signature.reference)


def _start_from(signature: Signature) -> dict[str, Any]:
    """What the pipeline starts from: a size to fill with noise, or a reference that covers it, with a strength."""
    if signature.reference is None:
        return {"width": signature.size[0], "height": signature.size[1]}
    # Half a step more than wanted, which the pipeline cuts off: as a share of the steps a whole number can fall short.
    strength = min(1.0, (signature.drawn_steps + 0.5) / signature.steps)
    return {"image": cover(signature.reference.image, signature.size), "strength": strength}


def cover(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture on white, scaled and cropped around its centre so that it fills `size` (pixels)."""
    picture = picture.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
