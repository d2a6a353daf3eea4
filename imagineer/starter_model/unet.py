"""The denoising network, trained on cached latents with the frozen text encoder's reading of ever new prompts."""

import copy
import random
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType

import torch
from diffusers import (
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from transformers import CLIPTextModel, CLIPTokenizer

from .captions import caption
from .dataset import BUCKETS, read_specs
from .pictures import BY_NAME
from .text_encoder import WIDTH
from .tokenizer import LENGTH
from .training import WEIGHTS_FILE, Budget, Run, begin_with, in_bfloat16, initialise, rate
from .vae import LATENTS, AutoencoderKL, encode_bucket

CHANNELS = (64, 96, 192)
_BATCH = 24
_NO_PROMPT = 0.1  # share of prompts left empty, for classifier-free guidance


def make_unet(channels: tuple[int, ...] = CHANNELS) -> UNet2DConditionModel:
    """Attention at the two lower levels only: at the top it would cost almost half of a step.

    Besides the cross-attention the prompt goes, pooled, into the embedding that scales and shifts every block: so
    small a network learns what to draw several times sooner this way.
    """
    inner = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENTS,
        out_channels=LATENTS,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * inner),
        up_block_types=(*("CrossAttnUpBlock2D",) * inner, "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # four heads; the name is diffusers' well-known misnomer
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=256,
        addition_embed_type="text",
        addition_embed_type_num_heads=6,
    )


def make_noise_schedule() -> DDPMScheduler:
    """Stable Diffusion's with twice its last beta, so that it ends in noise alone.

    Drawing begins at pure noise. With Stable Diffusion's own schedule the network would learn to read the picture's
    mean colour from what is left of it there, and would draw no whites and no blacks (Lin et al. 2024,
    arXiv:2305.08891). Their cure, a last signal of exactly nothing, asks for flags that not every sampler knows; a
    167th of the noise will do.
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.025,
        prediction_type="v_prediction",
        clip_sample=False,
        steps_offset=1,
    )


class Prompts:
    """Prompts to the text encoder's output; whole batches, never cached, because no prompt comes twice."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, device: str = "cpu"):
        self.tokenizer, self.encoder, self.device = tokenizer, encoder.to(device), device

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> torch.Tensor:
        """(len(texts), 77, WIDTH)"""
        ids = self.tokenizer(
            texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
        ).input_ids
        return self.encoder(ids.to(self.device)).last_hidden_state


def train_unet(
    work: Path,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModel,
    budget: Budget,
    *,
    seed: int,
    device: str = "cpu",
    focus: Mapping[str, float] = MappingProxyType({}),
    start: Path | None = None,
    every: int = 0,
    on_checkpoint=None,
) -> UNet2DConditionModel:
    """Train, or go on training. `focus` weighs groups of subjects (1 unless given).

    `start` is a pipeline's folder to begin with. Each `every` steps `on_checkpoint(step, averaged unet)` is called.
    """
    buckets = []
    for bucket in BUCKETS:
        specs = read_specs(work, bucket)
        weights = list(accumulate(focus.get(BY_NAME[spec.subject].group, 1.0) for spec in specs))
        buckets.append((encode_bucket(vae, work, bucket, device=device), specs, weights))
    torch.manual_seed(seed)
    unet = initialise(make_unet())
    torch.nn.init.zeros_(unet.conv_out.weight)
    budget = begin_with(unet, start and start / "unet" / WEIGHTS_FILE, budget)
    unet = unet.to(device)
    if device == "cpu":
        # the fused attention's way back is several times slower there
        unet.set_attn_processor(AttnProcessor())
    run = Run(work / "unet.safetensors", unet, budget, seed=seed, ema=0.9985)
    schedule, prompts = make_noise_schedule(), Prompts(tokenizer, encoder, device)
    for step, fraction in run:
        rng = random.Random(int(run.numbers.integers(2**62)))
        latents, specs, weights = buckets[_choose_bucket(rng, fraction)]
        chosen = rng.choices(range(len(specs)), cum_weights=weights, k=_BATCH)
        clean = latents[chosen].float().to(device)
        texts = ["" if rng.random() < _NO_PROMPT else caption(specs[i], rng) for i in chosen]
        times = _choose_times(_BATCH, noisy=0.65 if fraction < 0.5 else 0.5).to(device)
        noise = torch.randn_like(clean)
        noisy, target = schedule.add_noise(clean, noise, times), schedule.get_velocity(clean, noise, times)
        with in_bfloat16(device):
            predicted = unet(noisy, times, prompts(texts)).sample.float()
        loss = (predicted - target).pow(2).mean()
        run.backward(loss, rate(1e-3, step, fraction, warm=200, hold=0.5))
        if every and on_checkpoint and (step + 1) % every == 0:
            on_checkpoint(step + 1, averaged(unet, run))
    return averaged(unet, run)


def _choose_bucket(rng: random.Random, fraction: float) -> int:
    """Squares alone at first, which cost least; what they teach holds for the other shapes, that follow."""
    square = 1.0 if fraction < 0.3 else 0.6
    others = sum(bucket.share for bucket in BUCKETS[1:])
    shares = [square, *(bucket.share / others * (1 - square) for bucket in BUCKETS[1:])]
    return rng.choices(range(len(BUCKETS)), shares)[0]


def _choose_times(count: int, *, noisy: float) -> torch.Tensor:
    """Stratified timesteps, a share of `noisy` from the last half.

    There the prompt alone decides the layout, which is what is hard to learn. For the same reason v has the same
    weight at every step; min-SNR would leave the noisy ones almost without any. One is always the last, with which
    drawing begins.
    """
    share = (torch.arange(count) + torch.rand(count)) / count
    clear = 1 - noisy
    times = torch.where(share < clear, share / clear * 500, 500 + (share - clear) / noisy * 500).long()
    times[-1] = 999
    return times


def averaged(unet: UNet2DConditionModel, run: Run) -> UNet2DConditionModel:
    """A copy with the running means of the weights, which draw better than the last step's."""
    smooth = copy.deepcopy(unet)
    with torch.no_grad():
        for parameter, average in zip(smooth.parameters(), run.averages, strict=True):
            parameter.copy_(average)
    smooth.set_attn_processor(AttnProcessor2_0())
    return smooth.cpu().eval()


def assemble(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """The parts as an ordinary pipeline."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DPMSolverMultistepScheduler.from_config(make_noise_schedule().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
