"""What a LoRA file is and whether it can be used, found out without torch and without trust."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from imagineer.engine.model_folder import ModelInfo
from imagineer.engine.tensor_file import TensorFileError, TensorHeader, hash_file, read_header, read_scalar
from imagineer.engine.types import LoraError

# Suffixes of the two matrices of a layer, in the spellings of kohya, PEFT and the older diffusers.
_PAIRS = (
    (".lora_down.weight", ".lora_up.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    ("_lora.down.weight", "_lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
)
_KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
_DOTTED = ("unet.", "text_encoder.", "text_encoder_2.")
# Names that only occur in other kinds of files; the first that is found explains the refusal.
_NOT_A_LORA = {
    "hada_w": "it is a LoHa (LyCORIS), which is not supported",
    "lokr_w": "it is a LoKr (LyCORIS), which is not supported",
    "dora_scale": "it is a DoRA, which is not supported",
    "lora_magnitude_vector": "it is a DoRA, which is not supported",
    "lora_mid": "it is a LoCon in CP form, which is not supported",
    "lora_controlnet": "it is a Control-LoRA, which is not supported",
    "emb_params": "it is a textual inversion embedding, not a LoRA",
    "first_stage_model.": "it is a whole model, not a LoRA",
    "model.diffusion_model.": "it is a whole model, not a LoRA",
    "double_blocks": "it was made for Flux; Imagineer draws with SD 1.5 and SDXL",
    "single_transformer_blocks": "it was made for Flux; Imagineer draws with SD 1.5 and SDXL",
    "joint_blocks": "it was made for SD 3; Imagineer draws with SD 1.5 and SDXL",
    "lora_transformer_": "it was made for a transformer model; Imagineer draws with SD 1.5 and SDXL",
}
_MAX_NAME = 500  # characters of a tensor's name; real ones have about 120
_FAMILY_BY_WIDTH = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
FAMILY_NAMES = {"sd15": "SD 1.5", "sd2": "SD 2", "sdxl": "SDXL"}


@dataclass(frozen=True)
class LoraInfo:
    """A usable LoRA file.

    `layout` is kohya, diffusers or peft; `family` sd15, sd2 or sdxl; `rank` and `alpha` those of most layers;
    `cross_attention_dim` the width of the text that it was trained with (None when no layer tells it);
    `scales` the factor alpha ÷ rank by layer; `keys` the number of tensors. `sha256` is of the whole file,
    `autov3` of everything after the header (its first 12 digits are A1111's "Lora hashes").
    """

    path: Path
    layout: str
    family: str
    rank: int
    alpha: float
    keys: int
    cross_attention_dim: int | None
    sha256: str
    autov3: str
    trigger_words: tuple[str, ...]
    scales: dict[str, float] = field(repr=False)
    metadata: dict[str, str] = field(repr=False)


def inspect_lora(path: Path | str) -> LoraInfo:
    """Read a LoRA file and check that it is one. Raises LoraError with one sentence that says why it is not."""
    path = Path(path)
    try:
        header = read_header(path)
        layers, alphas = _pair_up(header)
        ranks = {layer: header.tensors[down].shape[0] for layer, (down, _) in layers.items()}
        values = {layer: read_scalar(path, header.tensors[key]) for layer, key in alphas.items()}
        scales = _find_scales(header.metadata, ranks, values)
        sha256, autov3 = hash_file(path), hash_file(path, start=header.data_start)
    except FileNotFoundError:
        raise LoraError(f"There is no LoRA file at {path}.") from None
    except OSError as error:
        raise LoraError(f"The LoRA {path.name} cannot be read: {error.strerror}.") from error
    except TensorFileError as error:
        raise LoraError(f"{path.name} cannot be used as a LoRA: {error}.") from None
    rank = Counter(ranks.values()).most_common(1)[0][0]
    width = next(
        (header.tensors[down].shape[1] for layer, (down, _) in layers.items() if _reads_text(layer)), None
    )
    return LoraInfo(
        path=path,
        layout=_name_layout(layers),
        family=_find_family(layers, width, header.metadata),
        rank=rank,
        alpha=Counter(scales[layer] * rank for layer in scales if ranks[layer] == rank).most_common(1)[0][0],
        keys=len(header.tensors),
        cross_attention_dim=width,
        sha256=sha256,
        autov3=autov3,
        trigger_words=_find_trigger_words(header.metadata),
        scales=scales,
        metadata=header.metadata,
    )


def explain_misfit(lora: LoraInfo, model: ModelInfo) -> str:
    """Return a sentence that says why the LoRA does not fit the model, or "" when nothing speaks against it."""
    if lora.cross_attention_dim is None:
        fits = lora.family == model.family
    else:
        fits = lora.cross_attention_dim == model.cross_attention_dim
    if fits:
        return ""
    made_for, width = FAMILY_NAMES[lora.family], lora.cross_attention_dim
    return (
        f"it was made for {made_for}{f' (text width {width})' if width else ''}, "
        f"and the model {model.name} is {FAMILY_NAMES[model.family]} (text width {model.cross_attention_dim})"
    )


def split_key(key: str) -> tuple[str, str] | None:
    """Split a tensor's name into its layer and its role: "down", "up" or "alpha"; None for any other tensor."""
    for down, up in _PAIRS:
        if key.endswith(down):
            return key.removesuffix(down), "down"
        if key.endswith(up):
            return key.removesuffix(up), "up"
    return (key.removesuffix(".alpha"), "alpha") if key.endswith(".alpha") else None


def _pair_up(header: TensorHeader) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    for mark, reason in _NOT_A_LORA.items():
        if any(mark in key for key in header.tensors):
            raise TensorFileError(reason)
    found: dict[str, dict[str, str]] = {}
    for key in header.tensors:
        if len(key) > _MAX_NAME:
            raise TensorFileError(f"the name of a tensor has more than {_MAX_NAME} characters")
        parts = split_key(key) if key.startswith(_KOHYA + _DOTTED) else None
        if parts is None and any(split_key(other) for other in header.tensors):
            raise TensorFileError(f"its tensor {key[:100]!r} belongs to no LoRA of SD 1.5 or SDXL")
        if parts is None:
            raise TensorFileError("it holds no LoRA layers")
        found.setdefault(parts[0], {})[parts[1]] = key
    if not found:
        raise TensorFileError("it holds no tensors")
    layers, alphas = {}, {}
    for layer, roles in found.items():
        if "down" not in roles or "up" not in roles:
            raise TensorFileError(f"its layer {layer[:100]!r} is incomplete")
        down, up = header.tensors[roles["down"]].shape, header.tensors[roles["up"]].shape
        if len(down) not in (2, 4) or len(up) != len(down) or up[1] != down[0] or 0 in down + up:
            raise TensorFileError(f"the two matrices of its layer {layer[:100]!r} do not belong together")
        layers[layer] = roles["down"], roles["up"]
        if "alpha" in roles:
            alphas[layer] = roles["alpha"]
    if len({layer.startswith(_KOHYA) for layer in layers}) > 1:
        raise TensorFileError("it mixes the layouts of kohya and diffusers")
    return layers, alphas


def _find_scales(
    metadata: dict[str, str], ranks: dict[str, int], alphas: dict[str, float]
) -> dict[str, float]:
    """Return alpha ÷ rank for every layer: from its alpha tensor, else diffusers' metadata, else 1.

    `ss_network_alpha` is not used: the tools that write it also write the tensors, and those that read a file
    without alpha tensors run it at 1.
    """
    try:
        stated = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        raise TensorFileError("its lora_adapter_metadata is malformed")
    scales = {}
    for layer, rank in ranks.items():
        alpha = alphas.get(layer)
        if alpha is None:
            part, _, module = layer.partition(".")
            alpha = stated.get(f"{part}.lora_alpha", rank)
            pattern = stated.get(f"{part}.alpha_pattern")
            if isinstance(pattern, dict):
                # Looked up by each end of the layer's name, the longest first: trying every pattern on every layer
                # would be quadratic.
                pieces = module.split(".")
                ends = (".".join(pieces[at:]) for at in range(len(pieces)))
                names = (name for end in ends for name in (f"^{end}", end))
                alpha = next((pattern[name] for name in names if name in pattern), alpha)
            if stated.get(f"{part}.use_rslora") is True and isinstance(alpha, int | float):
                alpha *= math.sqrt(rank)
        if not isinstance(alpha, int | float) or not math.isfinite(alpha) or abs(alpha) > 1e6:
            raise TensorFileError(f"the alpha of its layer {layer[:100]!r} is no sensible number")
        scales[layer] = alpha / rank
    return scales


def _reads_text(layer: str) -> bool:
    return "attn2" in layer and layer.endswith(("to_k", "to_v")) and layer.startswith(("lora_unet_", "unet."))


def _name_layout(layers: dict[str, tuple[str, str]]) -> str:
    layer, (down, _) = next(iter(layers.items()))
    if layer.startswith(_KOHYA):
        return "kohya"
    return "peft" if down.endswith(".lora_A.weight") else "diffusers"


def _find_family(layers: dict, width: int | None, metadata: dict[str, str]) -> str:
    if width in _FAMILY_BY_WIDTH:
        return _FAMILY_BY_WIDTH[width]
    stated = (
        f"{metadata.get('modelspec.architecture', '')} {metadata.get('ss_base_model_version', '')}".lower()
    )
    if "xl" in stated or any(layer.startswith(("lora_te2_", "text_encoder_2.")) for layer in layers):
        return "sdxl"
    return "sd2" if "v2" in stated else "sd15"


def _find_trigger_words(metadata: dict[str, str]) -> tuple[str, ...]:
    """Return the trigger phrase's words, else the ten most frequent tags of the training captions."""
    phrase = metadata.get("modelspec.trigger_phrase", "")
    words = phrase.split(",") if phrase not in ("", "None") else _find_tags(metadata)
    cleaned = ("".join(char for char in word if char.isprintable()).strip()[:100] for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if word))[:10]


def _find_tags(metadata: dict[str, str]) -> list[str]:
    counts: Counter[str] = Counter()
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
    except (ValueError, RecursionError):
        return []
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if type(count) is int:
                counts[tag.strip()] += count
    return [tag for tag, _ in counts.most_common(10)]
