"""Models and LoRAs of random weights in the real layouts: real code, small numbers, made in a second or two."""

from pathlib import Path

TEXT_WIDTH = 16
# The projections of attention, which LoRAs are mostly made for: in the UNet and in a CLIP text encoder.
PROJECTIONS = (".to_q", ".to_k", ".to_v", ".to_out.0", ".q_proj", ".k_proj", ".v_proj", ".out_proj")


def build_tiny_model(path: Path, *, sdxl: bool = False) -> Path:
    """Write a whole diffusers folder (SD 1.5 or SDXL layout, native size 64 px, text width 16 or 32) and return it."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    extras = {}
    if sdxl:
        extras = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + TEXT_WIDTH,
            "use_linear_projection": True,
        }
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH * (2 if sdxl else 1),
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **extras,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=False,
    )
    tokenizer = _build_tokenizer()
    parts = {
        "vae": vae,
        "unet": unet,
        "scheduler": scheduler,
        "tokenizer": tokenizer,
        "text_encoder": CLIPTextModel(_text_config(tokenizer)),
    }
    if sdxl:
        second = CLIPTextModelWithProjection(_text_config(tokenizer))
        pipe = StableDiffusionXLPipeline(**parts, text_encoder_2=second, tokenizer_2=tokenizer)
    else:
        pipe = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipe.save_pretrained(path)
    return path


def build_tiny_lora(
    path: Path,
    model_folder: Path,
    *,
    layout: str = "diffusers",
    rank: int = 4,
    seed: int = 0,
    alpha: float | None = None,
    parts: tuple[str, ...] = ("unet", "text_encoder"),
) -> Path:
    """Write a LoRA of random weights for a model's attention; the same seed gives the same LoRA in both layouts.

    `layout` is "diffusers" or "kohya"; `alpha` (kohya only) its alpha tensors' value, `rank` when not given.
    """
    import torch
    from safetensors.torch import save_file

    from imagineer.engine.tensor_file import read_header

    noise = torch.Generator().manual_seed(seed)
    tensors = {}
    for part in parts:
        weights = "diffusion_pytorch_model" if part == "unet" else "model"
        header = read_header(model_folder / part / f"{weights}.safetensors")
        for key, tensor in sorted(header.tensors.items()):
            module = key.removesuffix(".weight")
            if not module.endswith(PROJECTIONS):
                continue
            rows, columns = tensor.shape
            down = torch.randn(rank, columns, generator=noise)
            up = torch.randn(rows, rank, generator=noise) * 0.3
            # The files name the text encoder's modules as transformers did before it flattened the class.
            name = module if part == "unet" else f"text_model.{module.removeprefix('text_model.')}"
            if layout == "kohya":
                layer = f"lora_{'unet' if part == 'unet' else 'te'}_{name.replace('.', '_')}"
                tensors |= {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}
                tensors[f"{layer}.alpha"] = torch.tensor(float(rank if alpha is None else alpha))
            else:
                layer = f"{part}.{name}.{'lora' if part == 'unet' else 'lora_linear_layer'}"
                tensors |= {f"{layer}.down.weight": down, f"{layer}.up.weight": up}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def _build_tokenizer():
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _text_config(tokenizer):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=TEXT_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
