"""The schedulers a request may name."""

from dataclasses import dataclass, field
from typing import Any

from imagineer.engine.types import EngineError


@dataclass(frozen=True)
class SchedulerSpec:
    """A diffusers scheduler class with its options, and the two names that A1111 gives it."""

    class_name: str
    a1111_sampler: str
    a1111_schedule: str = "Automatic"
    options: dict[str, Any] = field(default_factory=dict)


_KARRAS = {"use_karras_sigmas": True}
# Set, not left out: a model whose own scheduler uses Karras sigmas must not lend them to the plain names.
_PLAIN = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"}

# lms and deis are missing because they need SciPy; the dpm++ sde family because it needs torchsde.
SCHEDULERS: dict[str, SchedulerSpec] = {
    "euler": SchedulerSpec("EulerDiscreteScheduler", "Euler", options=_PLAIN),
    "euler_karras": SchedulerSpec("EulerDiscreteScheduler", "Euler", "Karras", _PLAIN | _KARRAS),
    "euler_a": SchedulerSpec("EulerAncestralDiscreteScheduler", "Euler a"),
    "heun": SchedulerSpec("HeunDiscreteScheduler", "Heun", options=_PLAIN),
    "ddim": SchedulerSpec("DDIMScheduler", "DDIM"),
    "ddpm": SchedulerSpec("DDPMScheduler", "DDPM"),
    # With the Runge-Kutta warm-up of the paper it fails below four steps; Stable Diffusion never used that.
    "pndm": SchedulerSpec("PNDMScheduler", "PLMS", options={"skip_prk_steps": True}),
    "dpm++_2m": SchedulerSpec("DPMSolverMultistepScheduler", "DPM++ 2M", options=_PLAIN | _DPM),
    "dpm++_2m_karras": SchedulerSpec(
        "DPMSolverMultistepScheduler", "DPM++ 2M", "Karras", _PLAIN | _DPM | _KARRAS
    ),
    "dpm++_2m_sde": SchedulerSpec(
        "DPMSolverMultistepScheduler",
        "DPM++ 2M SDE",
        options=_PLAIN | _DPM | {"algorithm_type": "sde-dpmsolver++"},
    ),
    "dpm2": SchedulerSpec("KDPM2DiscreteScheduler", "DPM2", options=_PLAIN),
    "dpm2_a": SchedulerSpec("KDPM2AncestralDiscreteScheduler", "DPM2 a", options=_PLAIN),
    "unipc": SchedulerSpec("UniPCMultistepScheduler", "UniPC", options=_PLAIN),
    "lcm": SchedulerSpec("LCMScheduler", "LCM"),
}


def find_scheduler(name: str) -> SchedulerSpec:
    """Return the scheduler called `name`; raise EngineError, naming the known ones, when there is none."""
    try:
        return SCHEDULERS[name]
    except KeyError:
        known = ", ".join(SCHEDULERS)
        raise EngineError(f"There is no scheduler called {name!r:.60}. Choose one of: {known}.") from None


def build_scheduler(name: str, config: dict) -> Any:
    """Build the named scheduler from a pipeline's own scheduler `config`.

    The config carries what belongs to the weights (betas, prediction type, timestep spacing); only the way of
    solving is exchanged. A new object for every batch, because schedulers keep state between steps.
    """
    import diffusers

    spec = find_scheduler(name)
    return getattr(diffusers, spec.class_name).from_config(config, **spec.options)
