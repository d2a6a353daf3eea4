"""DiffusionEngine: one open model that draws batches of requests with diffusers."""

import logging
import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from PIL import Image

from imagineer.engine.lora_set import LoraSet
from imagineer.engine.memory import free_memory, is_out_of_memory
from imagineer.engine.model_folder import ModelInfo, fit_size, hash_model, read_model
from imagineer.engine.planner import Signature, plan_batches, sign
from imagineer.engine.prompts import Cut, Embedding, PromptEncoder
from imagineer.engine.recipe import build_recipe
from imagineer.engine.schedulers import build_scheduler, find_scheduler
from imagineer.engine.tensor_file import read_header
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

    @property
    def card(self) -> str:
        """The device by a name that all processes of the host agree on: "cpu", "mps" or "cuda:GPU-<uuid>".

        A number would not do: CUDA_VISIBLE_DEVICES gives each process its own. Raises EngineError as `open` does.
        """
        return _name_card(_choose_device(self.device))

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Load the model; do nothing when it is loaded. Raises ModelError when it cannot be loaded."""
        if self._pipe is not None:
            return
        _silence_libraries()
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        self.device = _choose_device(self.device)
        # Now and not when a picture is done: the folder may be exchanged while these weights are in memory.
        self._hash = hash_model(self.info)
        try:
            self._pipe = _load_pipeline(self.info, self.device)
            _check_text_encoders(self._pipe, self.info)
        except Exception as error:
            self.close()
            if is_out_of_memory(error):
                raise ModelError(
                    f"The model {self.info.name} does not fit into the memory of {self.device}."
                ) from error
            reason = str(error).strip().split("\n")[0][:300]
            raise ModelError(
                f"The model {self.info.name} could not be loaded; copy the whole folder again. ({reason})"
            ) from error
        self._scheduler_config = dict(self._pipe.scheduler.config)
        self._prompts = PromptEncoder(self._pipe)
        self._loras = LoraSet(self._pipe, self.info)

    def close(self) -> None:
        """Give all memory back. The engine can be opened again."""
        self._pipe = self._prompts = self._loras = None
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

        pipe = self._pipe
        pipe.scheduler = build_scheduler(signature.scheduler, self._scheduler_config)
        inputs = {
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
                width=signature.size[0],
                height=signature.size[1],
                output_type="pt",
                callback_on_step_end=after_step,
            ).images
            is_finite = bool(torch.isfinite(pictures).all())
            pixels = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        except (RuntimeError, MemoryError) as error:
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
    return signature.size, len(signature.loras), signature.guidance_scale > 1


def _choose_device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise EngineError(
            f"The device {wanted!r} is not there: {reason} Set IMAGINEER_DEVICE to auto or cpu."
        ) from error
    return wanted


def _name_card(device: str) -> str:
    import torch

    kind = torch.device(device).type
    if kind != "cuda":
        return kind
    return f"cuda:GPU-{torch.cuda.get_device_properties(device).uuid}"


def _load_pipeline(info: ModelInfo, device: str) -> Any:
    import diffusers
    import torch

    options: dict[str, Any] = {"add_watermarker": False}
    if info.family != "sdxl":
        options = {"safety_checker": None, "requires_safety_checker": False}
    pipeline = (
        diffusers.StableDiffusionXLPipeline if info.family == "sdxl" else diffusers.StableDiffusionPipeline
    )
    pipe = pipeline.from_pretrained(
        info.path,
        # float16 on a CPU is seven times slower than float32; on MPS it still gives black pictures now and then.
        dtype=torch.float16 if device.startswith("cuda") else torch.float32,
        variant=info.variant,
        use_safetensors=True,
        local_files_only=True,
        feature_extractor=None,
        image_encoder=None,
        **options,
    ).to(device)
    pipe.set_progress_bar_config(disable=True)
    if device == "cpu":
        # A sixth of the decoder's time with the starter model; its UNet gains nothing, and cards are not measured.
        pipe.vae.to(memory_format=torch.channels_last)
    if device != "cpu" or info.native_size > 256:
        pipe.vae.enable_slicing()  # decoding is where a batch needs most memory
    return pipe


def _check_text_encoders(pipe: Any, info: ModelInfo) -> None:
    """Refuse what transformers fills up with noise and a note: a text encoder whose file lacks some of its tensors."""
    for part in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipe, part, None)
        if encoder is None:
            continue
        # transformers has flattened CLIPTextModel; the files have either name.
        stored = {
            name.removeprefix("text_model.")
            for file in info.weights
            if file.parent.name == part
            for name in read_header(file).tensors
        }
        missing = sorted({name.removeprefix("text_model.") for name in encoder.state_dict()} - stored)
        if missing:
            raise ValueError(f"{part} lacks {len(missing)} tensors, the first is {missing[0]}")


def _silence_libraries() -> None:
    """Keep the libraries' harmless notes (missing torchvision, LoRA load reports, progress bars) out of our logs.

    For good, as they come at any time; errors are raised, so nothing that matters is lost. The hub is never asked.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"(diffusers|transformers|peft)\.")
