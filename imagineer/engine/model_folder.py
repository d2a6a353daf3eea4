"""A diffusers model folder, read and checked without torch and before anything is loaded from it."""

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from imagineer.engine.tensor_file import TensorFileCut, TensorFileError, hash_file, read_header
from imagineer.engine.types import ModelError, ModelGone

MAX_JSON_BYTES = 5_000_000
MAX_TOKENIZER_BYTES = 50_000_000  # real ones have up to seventeen million
MAX_KINDS, MAX_WORDS = 20, 500  # of a vocabulary: more is no help to a reader, and a page of megabytes
_PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}
_COMPONENTS = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "text_encoder_2": {"CLIPTextModelWithProjection"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "tokenizer_2": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "scheduler": None,  # any of diffusers'; build_scheduler takes only its config
}
_FAMILIES = {
    "StableDiffusionPipeline": ("sd15", ("unet", "vae", "text_encoder", "tokenizer", "scheduler")),
    "StableDiffusionXLPipeline": ("sdxl", tuple(_COMPONENTS)),
}
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model from its folder's small files.

    `family` is "sd15" (the StableDiffusionPipeline layout of SD 1.x), "sd2" (the same with a 1024 wide text encoder)
    or "sdxl"; `native_size` the pixels of the side it was trained at; `cross_attention_dim` the width that a LoRA must
    fit. `max_pixels` and `max_side` are None where the model sets no limit. `defaults` holds at most steps,
    guidance_scale and scheduler; `vocabulary` lists of words by kind, for models that know only these.
    """

    path: Path
    name: str
    title: str
    family: str
    native_size: int
    cross_attention_dim: int
    weights: tuple[Path, ...]
    variant: str | None = None
    max_pixels: int | None = None
    max_side: int | None = None
    size_multiple: int = 8
    defaults: dict = field(default_factory=dict)
    vocabulary: dict = field(default_factory=dict)


def read_model(path: Path | str) -> ModelInfo:
    """Read a diffusers folder and check that it can be loaded: parts, classes, whole safetensors weights.

    Raises ModelError with a sentence, ModelGone where something is not there, not yet whole or cannot be read; a
    path that does not exist is never taken for the name of a hub repository.
    """
    path = Path(path)
    if not is_folder(path):
        raise ModelGone(
            f"There is no model folder at {str(path)[:300]}. Check the path; models are never downloaded by name."
        )
    try:
        return _read_folder(path)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise ModelGone(f"The model {path.name} cannot be read{place}: {error.strerror}.") from error


def is_folder(path: Path) -> bool:
    """Whether it is there and may be looked into; Path.is_dir() raises where its disk or its server is away."""
    return os.path.isdir(path)  # noqa: PTH112


def _read_folder(path: Path) -> ModelInfo:
    index = _read_json(path / "model_index.json", path, "so it is not a diffusers model folder")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in _FAMILIES:
        raise ModelError(
            f"The model {path.name} is a {str(pipeline)[:80]}; "
            f"Imagineer draws with {' and '.join(_FAMILIES)} folders (SD 1.5 and SDXL)."
        )
    family, parts = _FAMILIES[pipeline]
    for part in parts:
        _check_class(path, part, index.get(part))
    weights, variant = _find_weights(
        path, [part for part in parts if part not in ("tokenizer", "tokenizer_2", "scheduler")]
    )
    _read_json(path / "scheduler" / "scheduler_config.json", path)
    for tokenizer in [part for part in parts if part.startswith("tokenizer")]:
        folder = path / tokenizer
        words = [file for name in ("tokenizer", "vocab") if (file := folder / f"{name}.json").is_file()]
        if not words:
            raise ModelGone(
                f"The model {path.name} lacks {tokenizer}/tokenizer.json. Copy the whole folder again."
            )
        for file in words:  # as a copy that goes on would leave one
            _read_json(file, path, limit=MAX_TOKENIZER_BYTES)
    unet = _read_json(path / "unet" / "config.json", path)
    vae = _read_json(path / "vae" / "config.json", path)
    width, sample_size = unet.get("cross_attention_dim"), unet.get("sample_size")
    blocks = vae.get("block_out_channels")
    if (
        not _is_count(width)
        or not _is_count(sample_size)
        or not isinstance(blocks, list)
        or not 1 <= len(blocks) <= 8
    ):
        raise ModelError(f"The model {path.name} has a malformed config.json under unet or vae.")
    if family == "sd15" and width == 1024:
        family = "sd2"
    factor = 2 ** (len(blocks) - 1)
    return ModelInfo(
        path=path,
        family=family,
        native_size=sample_size * factor,
        cross_attention_dim=width,
        weights=weights,
        variant=variant,
        **_read_extras(path, factor),
    )


def fit_size(info: ModelInfo, width: int, height: int) -> tuple[int, int]:
    """Return the size in pixels that the model draws when (width, height) is asked for.

    Scaled down to the model's limits with the aspect kept as nearly as its size multiple allows; never enlarged
    by more than rounding.
    """
    step = info.size_multiple
    max_side = max(step, (info.max_side or 1_000_000) // step * step)
    max_pixels = max(step * step, info.max_pixels or 10**12)
    scale = min(1.0, max_side / max(width, height), math.sqrt(max_pixels / (width * height)))
    sides = [
        {max(step, rounding(side * scale / step) * step) for rounding in (math.floor, math.ceil)}
        for side in (width, height)
    ]
    fitting = [(w, h) for w, h in product(*sides) if max(w, h) <= max_side and w * h <= max_pixels]
    # An extreme aspect whose short side was raised to one step may fit nowhere: the long side gives way.
    fitting = fitting or [
        tuple(min(min(side), max_side, max_pixels // step // step * step) for side in sides)
    ]
    return min(
        fitting, key=lambda size: (abs(math.log(size[0] * height / (size[1] * width))), -size[0] * size[1])
    )


def hash_model(model: ModelInfo | Path | str) -> str:
    """Return the SHA-256 (hex) over the names and bytes of the model's weight files, in the order of their names.

    Raises ModelError when the folder is not whole.
    """
    info = model if isinstance(model, ModelInfo) else read_model(model)
    digest = hashlib.sha256()
    for weights in info.weights:
        name = weights.relative_to(info.path).as_posix()
        try:
            digest.update(f"{name}\0{hash_file(weights)}\n".encode())
        except OSError as error:
            raise ModelGone(f"The model {info.name} has an unreadable {name}: {error.strerror}.") from error
    return digest.hexdigest()


def _check_class(path: Path, part: str, entry: object) -> None:
    if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(name, str) for name in entry):
        raise ModelError(f"The model {path.name} has no {part}. Copy the whole folder again.")
    library, name = entry
    allowed = _COMPONENTS[part]
    known = library in ("diffusers", "transformers") and (
        name in allowed if allowed else name.endswith("Scheduler")
    )
    if not known:
        raise ModelError(
            f"The model {path.name} wants {library[:80]}.{name[:80]} as its {part}, which is not supported."
        )


def _find_weights(path: Path, parts: list[str]) -> tuple[tuple[Path, ...], str | None]:
    found, variants = [], set()
    for part in parts:
        stem = _WEIGHTS.get(part, "model")
        for variant in (None, "fp16"):
            files = _weight_files(path, path / part, f"{stem}.{variant}" if variant else stem)
            if files:
                break
        else:
            folder = path / part
            if folder.is_dir() and any(file.suffix in _PICKLES for file in folder.iterdir()):
                raise ModelError(
                    f"The model {path.name} has only pickled weights in {part}/, which can run code and are refused. "
                    "Get the model with .safetensors files."
                )
            raise ModelGone(
                f"The model {path.name} lacks {part}/{stem}.safetensors. Copy the whole folder again."
            )
        _read_json(path / part / "config.json", path)
        found += files
        variants.add(variant)
    for file in found:
        try:
            read_header(file)
        except (TensorFileError, OSError) as error:
            name = file.relative_to(path).as_posix()
            is_gone = isinstance(error, (TensorFileCut, OSError))
            raise (ModelGone if is_gone else ModelError)(
                f"The model {path.name} has a broken file {name}: {error}. Copy it again."
            ) from error
    return tuple(sorted(found)), "fp16" if "fp16" in variants else None


def _weight_files(path: Path, folder: Path, stem: str) -> list[Path]:
    if (folder / f"{stem}.safetensors").is_file():
        return [folder / f"{stem}.safetensors"]
    # Sharded weights: transformers writes model.safetensors.index.fp16.json for a variant, as diffusers does.
    name, _, variant = stem.partition(".")
    index = folder / f"{name}.safetensors.index{'.' + variant if variant else ''}.json"
    if not index.is_file():
        return []
    shards = _read_json(index, path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"The model {path.name} has a malformed {folder.name}/{index.name}.")
    names = sorted({str(shard) for shard in shards.values()})
    for shard in names:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise ModelGone(
                f"The model {path.name} lacks {folder.name}/{shard[:100]}. Copy the whole folder again."
            )
    return [folder / shard for shard in names]


def _read_extras(path: Path, factor: int) -> dict:
    file = path / "imagineer.json"
    extras = _read_json(file, path) if file.is_file() else {}
    name = extras.get("name") or path.resolve().name
    title = extras.get("title") or name
    limits = {key: extras.get(key) for key in ("max_pixels", "max_side")}
    multiple = extras.get("size_multiple") or max(8, factor)
    defaults, vocabulary = extras.get("defaults", {}), extras.get("vocabulary", {})
    if (
        not all(isinstance(text, str) and len(text) <= 200 for text in (name, title))
        or not all(limit is None or _is_count(limit) for limit in limits.values())
        or not (_is_count(multiple) and multiple <= 256 and multiple % max(8, factor) == 0)
        or not isinstance(defaults, dict)
        or not _is_vocabulary(vocabulary)
    ):
        raise ModelError(f"The model {path.name} has a malformed imagineer.json.")
    known = {"steps": int, "guidance_scale": (int, float), "scheduler": str}
    for key, value in defaults.items():
        if key not in known or not isinstance(value, known[key]) or isinstance(value, bool):
            raise ModelError(f"The model {path.name} has a wrong default {key[:50]!r} in imagineer.json.")
    return {
        "name": name,
        "title": title,
        "size_multiple": multiple,
        "defaults": defaults,
        "vocabulary": vocabulary,
        **limits,
    }


def read_vocabulary(path: Path) -> dict[str, list[str]]:
    """The words that a model folder declares to know, by kind; empty when it tells nothing that can be used."""
    try:
        return _read_extras(path, 8)["vocabulary"]
    except (ModelError, OSError):
        return {}


def _is_vocabulary(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_KINDS
        and all(
            0 < len(kind) <= 40 and isinstance(words, list) and len(words) <= MAX_WORDS
            for kind, words in value.items()
        )
        and all(isinstance(word, str) and 0 < len(word) <= 60 for words in value.values() for word in words)
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= 10**9


def _read_json(file: Path, model: Path, consequence: str = "", *, limit: int = MAX_JSON_BYTES) -> dict:
    name = file.relative_to(model).as_posix()
    try:
        if file.stat().st_size > limit:
            raise ModelError(f"The model {model.name} has a {name} of more than {limit // 1_000_000} MB.")
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        advice = consequence or "copy the whole folder again"
        raise ModelGone(f"The model {model.name} has no {name}: {advice}.") from None
    except OSError as error:
        raise ModelGone(f"The model {model.name} has an unreadable {name}: {error.strerror}.") from error
    except (ValueError, RecursionError):  # half of it, while the folder is being copied
        raise ModelGone(
            f"The model {model.name} has a {name} that is not JSON. Copy the whole folder again."
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"The model {model.name} has a {name} that is not a JSON object.")
    return content
