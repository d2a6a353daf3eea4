"""What every training stage needs: a budget, a checkpoint to go on from, and numbers that the step alone decides.

A stage that was killed goes on from its last checkpoint and draws the same numbers as one that was not, so with a
budget in steps a build gives the same bytes however often it was interrupted.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tqdm import tqdm

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"  # in the folders that diffusers writes
_MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps for each parameter, besides its step


@dataclass(frozen=True)
class Budget:
    """At most `steps` steps, or `minutes` of computing time if given (then a build is not repeatable to the byte).

    `begun` is the share of the course that lies behind weights to go on from: what comes first there is not done again.
    """

    steps: int
    minutes: float | None = None
    begun: float = 0.0

    def fraction(self, step: int, seconds: float) -> float:
        done = seconds / (60 * self.minutes) if self.minutes else step / self.steps
        return min(1.0, self.begun + (1 - self.begun) * done)


def initialise(model: torch.nn.Module) -> torch.nn.Module:
    """Variance-preserving convolutions, zero biases, and residual branches that begin at zero.

    With PyTorch's own initialisation a network this narrow learns several times more slowly: each convolution shrinks
    the signal and its random bias does not.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            torch.nn.init.zeros_(module.bias)
    for name, module in model.named_modules():
        if name.endswith(("conv2", "to_out.0", "ff.net.2", "proj_out")):
            torch.nn.init.zeros_(module.weight)
    return model


def in_bfloat16(device: str) -> torch.autocast:
    """For what bfloat16 is exact enough for: on processors with AMX a step takes a third of the time."""
    return torch.autocast(device, torch.bfloat16)


def begin_with(model: torch.nn.Module, weights: Path | None, budget: Budget) -> Budget:
    """Take over what a safetensors file holds under the model's names and of the same size; nothing without a file.

    Returns the budget for what is left to learn: the whole course, unless all of the model came from the file.
    """
    given = load_file(weights) if weights else {}
    mine = model.state_dict()
    fitting = {
        name: tensor for name, tensor in given.items() if name in mine and mine[name].shape == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)
    if budget.begun and len(fitting) < len(mine):
        print(
            f"{weights}: {len(fitting)} of {len(mine)} tensors fit, so the whole course is taken", flush=True
        )
        return replace(budget, begun=0.0)
    return budget


def rate(peak: float, step: int, fraction: float, *, warm: int, hold: float = 0.0) -> float:
    """Learning rate: linear warm-up, `peak` until `hold` of the run, then a cosine to 3 % of it."""
    after = max(0.0, (fraction - hold) / (1 - hold))
    return peak * min(1.0, (step + 1) / warm) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * after)))


class Run:
    """One stage's loop. Iterate for (step, fraction); call `backward(loss, lr)` in the body."""

    def __init__(
        self,
        path: Path,
        model: torch.nn.Module,
        budget: Budget,
        *,
        seed: int,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        ema: float | None = None,
        every: float = 120,
    ):
        self.path, self.model, self.budget, self.seed, self.every = path, model, budget, seed, every
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, betas=betas, weight_decay=weight_decay, fused=True
        )
        self.decay = ema
        self.averages = [p.detach().clone() for p in self.parameters] if ema else []
        self.step, self.seconds, self.losses = 0, 0.0, {}
        if path.exists():
            self._load()

    def _load(self) -> None:
        with safe_open(self.path, "pt") as file:
            said = file.metadata()
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.step, self.seconds = int(said["step"]), float(said["seconds"])
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(state[f"model/{name}"])
            for i, average in enumerate(self.averages):
                average.copy_(state[f"average/{i}"])
            for i, parameter in enumerate(self.parameters):
                self.optimizer.state[parameter] = {
                    "step": state[f"adam/{i}/step"],
                    **{key: torch.empty_like(parameter).copy_(state[f"adam/{i}/{key}"]) for key in _MOMENTS},
                }

    def save(self) -> None:
        """Write the checkpoint under another name and then rename it, so that a kill leaves the last one."""
        state = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        state |= {f"average/{i}": average for i, average in enumerate(self.averages)}
        for i, parameter in enumerate(self.parameters):
            held = self.optimizer.state[parameter]
            state |= {f"adam/{i}/{key}": held[key] for key in ("step", *_MOMENTS)}
        part = self.path.with_suffix(".part")
        said = {"step": str(self.step), "seconds": repr(self.seconds)}
        save_file({key: tensor.cpu().contiguous() for key, tensor in state.items()}, part, metadata=said)
        part.rename(self.path)

    @property
    def is_done(self) -> bool:
        return self.budget.fraction(self.step, self.seconds) >= 1

    def __iter__(self) -> Iterator[tuple[int, float]]:
        bar = tqdm(total=1000, desc=self.path.stem, unit="‰", mininterval=5)
        began, saved, before = time.monotonic(), time.monotonic(), self.seconds
        while not self.is_done:
            fraction = self.budget.fraction(self.step, self.seconds)
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            self.numbers = np.random.default_rng((self.seed, self.step))
            yield self.step, fraction
            self.step += 1
            self.seconds = before + time.monotonic() - began
            bar.n = round(1000 * self.budget.fraction(self.step, self.seconds))
            if self.step % 20 == 0:
                bar.set_postfix(
                    {"step": self.step, **{k: f"{v:.4f}" for k, v in self.losses.items()}}, refresh=False
                )
                bar.refresh()
            if time.monotonic() - saved > self.every:
                self.save()
                saved = time.monotonic()
        bar.close()
        self.save()

    def backward(self, loss: torch.Tensor, lr: float, **shown: torch.Tensor) -> None:
        """One optimiser step; `shown` are kept as running means for the progress bar."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        if self.decay:
            decay = min(self.decay, (self.step + 1) / (self.step + 20))
            with torch.no_grad():
                torch._foreach_mul_(self.averages, decay)
                torch._foreach_add_(self.averages, self.parameters, alpha=1 - decay)
        for key, value in ({"loss": loss} | shown).items():
            self.losses[key] = 0.98 * self.losses.get(key, value.item()) + 0.02 * value.item()
