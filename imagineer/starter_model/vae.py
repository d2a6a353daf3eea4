"""The autoencoder: 8×8 pixels to one latent cell of 16 numbers, trained on crops of the data set and on patterns."""

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from tqdm import tqdm

from .dataset import BUCKETS, Bucket, open_pictures, write_array
from .pictures import choose_picture, draw_picture
from .styles import HELD_OUT_STYLES, STYLES
from .subjects import HELD_OUT, SUBJECTS
from .training import WEIGHTS_FILE, Budget, Run, begin_with, in_bfloat16, initialise, rate

CHANNELS = (32, 64, 128, 192)
LATENTS = 16
_CROP, _BATCH = 64, 8


def make_vae(channels: tuple[int, ...] = CHANNELS) -> AutoencoderKL:
    levels = len(channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=4,  # more groups leave too few channels in each to carry a flat colour
        sample_size=128,
        mid_block_add_attention=False,
    )


def _pattern(size: int, numbers: np.random.Generator) -> np.ndarray:
    """Random stripes, checks and discs, so that the autoencoder holds more than the training styles."""
    y, x = np.mgrid[0:size, 0:size]
    angle, period, share = numbers.uniform(0, math.pi), numbers.uniform(3, 24), numbers.uniform(0.25, 0.75)
    mask = ((x * math.cos(angle) + y * math.sin(angle)) % period) / period < share
    if numbers.random() < 0.4:
        mask ^= ((x * math.sin(angle) - y * math.cos(angle)) % period) / period < share
    if numbers.random() < 0.4:
        centre = numbers.uniform(0, size, 2)
        mask &= (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (numbers.uniform(0.2, 0.6) * size) ** 2
    first, second = numbers.uniform(0, 255, (2, 3))
    return np.where(mask[..., None], first, second)


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (n, height, width, 3) to float (n, 3, height, width) in -1..1."""
    tensor = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor.contiguous(memory_format=torch.channels_last)


def _crops(
    shards: list[np.ndarray], numbers: np.random.Generator, count: int, size: int, stride: int
) -> torch.Tensor:
    """`count` - 1 crops around the middle of random pictures and one pattern, `size` pixels after striding."""
    crops = [_pattern(size, numbers)]
    span = size * stride
    while len(crops) < count:
        shard = shards[numbers.integers(len(shards))]
        picture = shard[numbers.integers(len(shard))]
        height, width = picture.shape[:2]
        top = int((height - span) * numbers.beta(2, 2))
        left = int((width - span) * numbers.beta(1.5, 1.5))
        crops.append(picture[top : top + span : stride, left : left + span : stride])
    return to_tensor(np.stack(crops).astype(np.uint8))


def _slopes(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return picture.diff(dim=3), picture.diff(dim=2)


def _errors(decoded: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean absolute and squared difference, and the absolute difference of the slopes, which thin lines consist of."""
    edges = sum((a - b).abs().mean() for a, b in zip(_slopes(decoded), _slopes(wanted), strict=True))
    return (decoded - wanted).abs().mean(), F.mse_loss(decoded, wanted), edges


def train_vae(
    work: Path, budget: Budget, *, seed: int, device: str = "cpu", start: Path | None = None
) -> AutoencoderKL:
    """Train, or go on training, and leave the result in `work/vae/`. `start` is a pipeline's folder to begin with."""
    if (work / "vae" / "config.json").exists():
        return AutoencoderKL.from_pretrained(work / "vae", local_files_only=True)
    torch.manual_seed(seed)
    vae = initialise(make_vae())
    budget = begin_with(vae, start and start / "vae" / WEIGHTS_FILE, budget)
    vae = vae.to(device=device, memory_format=torch.channels_last)
    run = Run(work / "vae.safetensors", vae, budget, seed=seed, betas=(0.9, 0.995), weight_decay=1e-3)
    shards = [shard for bucket in BUCKETS for shard in open_pictures(work, bucket)]
    for step, fraction in run:
        # Small pictures first: a quarter of the cost, and colours and layout come from them just as well.
        small = fraction < 0.12
        crops = _crops(shards, run.numbers, _BATCH, _CROP // 2 if small else _CROP, 2 if small else 1).to(
            device
        )
        with in_bfloat16(device):
            posterior = vae.encode(crops).latent_dist
            mean = posterior.mode()
            # The decoder learns to forgive what the UNet will get slightly wrong.
            noise = torch.rand(len(mean), 1, 1, 1, device=device) * 0.08 * mean.detach().std()
            decoded = vae.decode(mean + noise * torch.randn_like(mean)).sample.float()
        spread = posterior.kl().float().mean() / mean[0].numel()
        error, square, edges = _errors(decoded, crops)
        weight = 0.4 * min(1.0, max(0.0, (fraction - 0.25) / 0.2))
        loss = error + 8 * square + weight * edges + 1e-6 * spread
        run.backward(loss, rate(8e-4, step, fraction, warm=100, hold=0.3), l1=error, mse=square)
    vae.eval()
    _normalise_latents(vae, work, device)
    vae.to("cpu", memory_format=torch.contiguous_format).save_pretrained(work / "vae")
    return vae


def refine_decoder(
    work: Path, vae: AutoencoderKL, budget: Budget, *, seed: int, device: str = "cpu"
) -> AutoencoderKL:
    """Train the decoder alone, which changes no latent; leaves `work/vae_refined/`. The UNet may train meanwhile."""
    folder = work / "vae_refined"
    if folder.exists():
        return AutoencoderKL.from_pretrained(folder, local_files_only=True)
    vae = vae.to(device=device, memory_format=torch.channels_last).train()
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    run = Run(
        work / "decoder.safetensors",
        vae,
        budget,
        seed=seed + 1,
        betas=(0.9, 0.995),
        weight_decay=1e-3,
        ema=0.998,
    )
    shards = [shard for bucket in BUCKETS for shard in open_pictures(work, bucket)]
    for step, fraction in run:
        crops = _crops(shards, run.numbers, _BATCH, _CROP, 1).to(device)
        with in_bfloat16(device):
            with torch.no_grad():
                mean = vae.encode(crops).latent_dist.mode()
                noise = torch.rand(len(mean), 1, 1, 1, device=device) * 0.06 * mean.std()
                mean = mean + noise * torch.randn_like(mean)
            decoded = vae.decode(mean).sample.float()
        error, square, edges = _errors(decoded, crops)
        loss = 0.5 * error + 4 * square + 0.2 * edges
        run.backward(loss, rate(5e-4, step, fraction, warm=100), l1=error, mse=square)
    with torch.no_grad():
        for parameter, average in zip(run.parameters, run.averages, strict=True):
            parameter.copy_(average)
    vae.eval().to("cpu", memory_format=torch.contiguous_format).save_pretrained(folder)
    return vae


def latest_vae(work: Path) -> AutoencoderKL:
    """The autoencoder with the decoder that was trained longest."""
    refined = work / "vae_refined"
    return AutoencoderKL.from_pretrained(refined if refined.exists() else work / "vae", local_files_only=True)


def held_out_pictures(seed: int, *, count: int) -> dict[str, np.ndarray]:
    """Pictures that no stage trains on: fresh ones of the domain, thin lines, held-out subjects and styles."""
    rng = random.Random(f"{seed}/held out")
    kinds = {
        "the domain": (SUBJECTS, list(STYLES)),
        "thin lines": (SUBJECTS, ["outline", "neon"]),
        "held-out subjects": (HELD_OUT, list(STYLES)),
        "held-out styles": (HELD_OUT, list(HELD_OUT_STYLES)),
    }
    return {
        name: np.stack(
            [
                draw_picture(choose_picture(rng, subjects=subjects, style_names=styles), rng)
                for _ in range(count)
            ]
        )
        for name, (subjects, styles) in kinds.items()
    }


@torch.no_grad()
def _normalise_latents(vae: AutoencoderKL, work: Path, device: str) -> None:
    """Give every latent channel mean 0 and deviation 1, folding both into the 1x1 convolutions around the latents."""
    shards = [open_pictures(work, bucket)[0][:100] for bucket in BUCKETS]
    moments = [
        vae.encode(to_tensor(s[i : i + 20]).to(device)).latent_dist.mode()
        for s in shards
        for i in range(0, len(s), 20)
    ]
    cells = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, LATENTS) for m in moments])
    mean, deviation = cells.mean(0), cells.std(0)
    into, out = vae.quant_conv, vae.post_quant_conv
    into.weight[:LATENTS] /= deviation[:, None, None, None]
    into.bias[:LATENTS] = (into.bias[:LATENTS] - mean) / deviation
    into.bias[LATENTS:] -= 2 * deviation.log()  # the log-variances follow
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= deviation[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def encode_bucket(vae: AutoencoderKL, work: Path, bucket: Bucket, *, device: str = "cpu") -> torch.Tensor:
    """Latents of a bucket, scaled, float16 (pictures, LATENTS, height/8, width/8), cached shard by shard."""
    folder = work / "latents"
    folder.mkdir(exist_ok=True)
    parts = []
    for index, shard in enumerate(
        tqdm(open_pictures(work, bucket), desc=f"latents {bucket.name}", unit="shard")
    ):
        path = folder / f"{bucket.name}-{index:03d}.npy"
        if not path.exists():
            # bfloat16 moves a latent by 0.003 of its deviation.
            with in_bfloat16(device):
                batches = [
                    vae.encode(to_tensor(shard[i : i + 25]).to(device)).latent_dist.mode().float()
                    for i in range(0, len(shard), 25)
                ]
            latents = torch.cat(batches) * vae.config.scaling_factor
            write_array(path, latents.half().cpu().numpy())
        parts.append(torch.from_numpy(np.load(path)))
    return torch.cat(parts)


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: np.ndarray) -> torch.Tensor:
    """Peak signal-to-noise ratio of each picture after encoding and decoding, in dB."""
    ratios = []
    for i in range(0, len(pictures), 20):
        x = to_tensor(pictures[i : i + 20])
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        ratios.append(-10 * ((y - x) / 2).pow(2).mean((1, 2, 3)).log10())
    return torch.cat(ratios)
