"""The LoRAs of one pipeline: loaded once by content, weighted for a batch, never left on for the next one."""

import math
import re
from collections import OrderedDict
from typing import Any

from imagineer.engine.lora_file import LoraInfo, explain_misfit, inspect_lora, split_key
from imagineer.engine.memory import is_out_of_memory
from imagineer.engine.model_folder import ModelInfo
from imagineer.engine.types import EngineError, LoraError, LoraRef

_KEPT = 8  # adapters that stay loaded for later batches
_MAX_WEIGHT = 10.0


class LoraSet:
    """Keeps LoRA adapters in a diffusers pipeline between batches."""

    def __init__(self, pipe: Any, model: ModelInfo):
        self._pipe = pipe
        self._model = model
        self._adapters: OrderedDict[str, LoraInfo] = (
            OrderedDict()
        )  # by adapter name, least recently used first

    def activate(self, refs: tuple[LoraRef, ...]) -> tuple[tuple[LoraRef, LoraInfo], ...]:
        """Switch exactly these LoRAs on, with their weights; none for an empty tuple.

        Raises LoraError when one of them cannot be applied; then none is on and nothing of it is left.
        """
        self._switch_off()
        inspected = tuple((ref, self._inspect(ref)) for ref in refs)
        weights: dict[str, float] = {}
        for ref, info in inspected:
            name = _name_adapter(info)
            weights[name] = weights.get(name, 0.0) + ref.weight
        for ref, info in inspected:
            if _name_adapter(info) not in self._adapters:
                self._load(ref, info)
            self._adapters.move_to_end(_name_adapter(info))
        for name in list(self._adapters)[:-_KEPT]:
            if name not in weights:
                self._remove(name)
        if weights:
            self._pipe.enable_lora()
            self._pipe.set_adapters(list(weights), list(weights.values()))
        return inspected

    def _inspect(self, ref: LoraRef) -> LoraInfo:
        if not math.isfinite(ref.weight) or abs(ref.weight) > _MAX_WEIGHT:
            raise LoraError(f"The LoRA {ref.name} has the weight {ref.weight}; use one from 0 to 1.5.")
        info = inspect_lora(ref.path)
        if ref.sha256 and ref.sha256 != info.sha256:
            raise LoraError(f"The file of the LoRA {ref.name} has changed since it was added. Add it again.")
        if misfit := explain_misfit(info, self._model):
            raise LoraError(f"The LoRA {ref.name} does not fit: {misfit}.")
        return info

    def _load(self, ref: LoraRef, info: LoraInfo) -> None:
        name = _name_adapter(info)
        try:
            self._pipe.load_lora_weights(self._read_weights(info), adapter_name=name)
            applied = sum(
                name in getattr(module, "lora_A", {}) for part in self._parts() for module in part.modules()
            )
            if applied != len(info.scales):
                raise ValueError(
                    f"only {applied} of its {len(info.scales)} layers exist in the model {self._model.name}"
                )
            self._adapters[name] = info
        except Exception as error:
            self._remove(name)
            if is_out_of_memory(error):
                raise EngineError(f"There is not enough memory for the LoRA {ref.name}.") from error
            # diffusers lists a hundred tensors, one a line; the first line with a size is enough to see what is wrong.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = next(
                (line for line in lines if "size mismatch" in line),
                lines[0] if lines else type(error).__name__,
            )
            raise LoraError(
                f"The LoRA {ref.name} cannot be applied to the model {self._model.name}: {reason[:200]}"
            ) from error
        finally:
            # Loading switches the newest adapter on, whatever was on before.
            self._switch_off()

    def _read_weights(self, info: LoraInfo) -> dict[str, Any]:
        """Load the matrices in PEFT's spelling, with alpha ÷ rank multiplied in.

        diffusers loses alpha in several ways (tensors in its own layout, files where only some layers have one) and
        would build a PEFT configuration from a file's metadata, which can name modules to import.
        """
        import torch
        from safetensors.torch import load_file

        weights = {}
        for key, tensor in load_file(info.path).items():
            layer, role = split_key(key)
            if role == "alpha":
                continue
            tensor = tensor.float()
            if not torch.isfinite(tensor).all():
                raise ValueError("it contains values that are not numbers")
            weights[key] = tensor * info.scales[layer] if role == "up" else tensor
        weights = self._pipe.lora_state_dict(weights, unet_config=self._pipe.unet.config)[0]
        return {_spell_as_peft(key): tensor for key, tensor in weights.items()}

    def _remove(self, name: str) -> None:
        from diffusers.utils.peft_utils import delete_adapter_layers

        self._adapters.pop(name, None)
        for part in self._parts():
            delete_adapter_layers(part, name)
            getattr(part, "peft_config", {}).pop(name, None)
        if not self._adapters:
            self._pipe.unload_lora_weights()

    def _switch_off(self) -> None:
        if any(getattr(part, "peft_config", None) for part in self._parts()):
            self._pipe.disable_lora()

    def _parts(self) -> list[Any]:
        names = ("unet", "text_encoder", "text_encoder_2")
        return [part for name in names if (part := getattr(self._pipe, name, None)) is not None]


def _name_adapter(info: LoraInfo) -> str:
    return f"lora_{info.sha256[:16]}"  # PEFT takes no dots in a name


def _spell_as_peft(key: str) -> str:
    """Spell a name as PEFT does: a file of several spellings (any of kohya's with the text encoder's MLP) loses layers."""
    projection = re.search(r"(?:\.processor)?\.to_(q|k|v|out)_lora\.", key)
    if projection and key.startswith("unet."):
        name = "to_out.0" if projection[1] == "out" else f"to_{projection[1]}"
        key = key.replace(projection[0], f".{name}.lora.")
    elif projection:
        key = key.replace(projection[0], f".{projection[1]}_proj.lora.")
    return re.sub(
        r"\.(?:lora|lora_linear_layer)\.(down|up)\.",
        lambda m: f".lora_{'A' if m[1] == 'down' else 'B'}.",
        key,
    )
