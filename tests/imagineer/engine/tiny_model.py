"""Diffusers folders and LoRAs of a few thousand random weights: the real code at a cost of milliseconds."""

import json
from pathlib import Path

from imagineer.engine.tensor_file import read_header

WIDTH = 16  # of each text encoder
TARGETS = ("attn1.to_q", "attn1.to_v", "attn2.to_k", "attn2.to_v", "ff.net.2", "conv1")


def build_tiny_model(path: Path | str, *, sdxl: bool = False, seed: int = 0) -> Path:
    """Save a StableDiffusionPipeline (or SDXL) folder with random weights for pictures of 64×64 and return its path.

    The tokenizer knows single letters only, so a prompt of some 80 characters needs a second window.
    """
    import diffusers
    import torch

    path = Path(path)
    torch.manual_seed(seed)
    parts = {
        "vae": diffusers.AutoencoderKL(
            block_out_channels=(8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
        ),
        "unet": diffusers.UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=2 * WIDTH if sdxl else WIDTH,
            **(_xl_conditioning() if sdxl else {}),
        ),
        "scheduler": diffusers.EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        ),
        "tokenizer": _build_tokenizer(),
        "text_encoder": _build_text_encoder(projects=False),
    }
    _make_attentive(parts["unet"])
    if sdxl:
        parts |= {"tokenizer_2": _build_tokenizer(), "text_encoder_2": _build_text_encoder(projects=True)}
        pipe = diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        pipe = diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipe.save_pretrained(path)
    return path


def build_tiny_lora(
    path: Path | str,
    model: Path,
    *,
    layout: str = "diffusers",
    rank: int = 4,
    alpha: float | None = None,
    with_text_encoder: bool = False,
    strength: float = 0.6,
    seed: int = 0,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Save a random LoRA that fits `model`, in the layout kohya, diffusers or peft; `alpha` None writes none."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, shape in _list_layers(model, with_text_encoder=with_text_encoder):
        name, down, up = _name_layer(layer, layout)
        tensors[name + down] = torch.randn(rank, *shape[1:], generator=generator) * strength / rank**0.5
        tensors[name + up] = (
            torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator) * strength
        )
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
    save_file(tensors, path, metadata=metadata)
    return Path(path)


def _list_layers(model: Path, *, with_text_encoder: bool) -> list[tuple[str, tuple[int, ...]]]:
    """Return (dotted name, shape of the weight) of the layers that the LoRA changes."""
    files = [("unet", "diffusion_pytorch_model", TARGETS)]
    if with_text_encoder:
        files += [("text_encoder", "model", ("q_proj", "v_proj", "fc1"))]
        if (model / "text_encoder_2").is_dir():
            files += [("text_encoder_2", "model", ("q_proj", "v_proj", "fc1"))]
    layers = []
    for part, stem, targets in files:
        for key, tensor in read_header(model / part / f"{stem}.safetensors").tensors.items():
            layer = key.removesuffix(".weight")
            if key.endswith(".weight") and layer.endswith(targets):
                # transformers 5 saves its text encoders without the prefix that every LoRA file has.
                inner = layer if part == "unet" else f"text_model.{layer.removeprefix('text_model.')}"
                layers.append((f"{part}.{inner}", tensor.shape))
    return layers


def _name_layer(layer: str, layout: str) -> tuple[str, str, str]:
    part, _, inner = layer.partition(".")
    if layout == "kohya":
        prefix = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}[part]
        return f"{prefix}_{inner.replace('.', '_')}", ".lora_down.weight", ".lora_up.weight"
    if layout == "peft":
        return layer, ".lora_A.weight", ".lora_B.weight"
    if part == "unet":
        return layer, ".lora.down.weight", ".lora.up.weight"
    return layer, ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"


def _xl_conditioning() -> dict:
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
    }


def _make_attentive(unet) -> None:
    """Strengthen what the text adds, which with fresh weights would vanish in eight bits."""
    for name, weights in unet.named_parameters():
        if "attn2" in name and name.endswith("weight"):
            weights.data.mul_(3)


def _build_tokenizer():
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *[letter + "</w>" for letter in letters], "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _build_text_encoder(*, projects: bool):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=WIDTH,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        initializer_factor=2.0,
    )
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)


def write_adapter_metadata(**parts: object) -> dict[str, str]:
    """Return diffusers' LoRA metadata, for example `unet__lora_alpha=8`, as it stands in a file's header."""
    return {
        "lora_adapter_metadata": json.dumps({key.replace("__", "."): value for key, value in parts.items()})
    }
