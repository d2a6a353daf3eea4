"""Opening a model folder with diffusers: on which device, with which parts, and whether all of it is there."""

import os
import warnings
from typing import Any

from imagineer.engine.model_folder import ModelInfo
from imagineer.engine.tensor_file import read_header
from imagineer.engine.types import EngineError


def choose_device(wanted: str) -> str:
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


def name_card(device: str) -> str:
    import torch

    kind = torch.device(device).type
    if kind != "cuda":
        return kind
    return f"cuda:GPU-{torch.cuda.get_device_properties(device).uuid}"


def load_pipeline(info: ModelInfo, device: str) -> Any:
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


def share_parts(pipe: Any, info: ModelInfo) -> Any:
    """The pipeline for image to image over the loaded parts; from_pipe() would turn half precision into float32."""
    import diffusers

    if info.family == "sdxl":
        zeros = pipe.config.force_zeros_for_empty_prompt
        other = diffusers.StableDiffusionXLImg2ImgPipeline(
            **pipe.components, force_zeros_for_empty_prompt=zeros, add_watermarker=False
        )
    else:
        other = diffusers.StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def check_text_encoders(pipe: Any, info: ModelInfo) -> None:
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


def silence_libraries() -> None:
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
