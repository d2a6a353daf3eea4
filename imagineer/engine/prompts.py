"""Prompts of any length as embeddings: windows of 75 tokens, encoded one by one and laid end to end.

CLIP reads 77 tokens at most (75 between its start and end marks). Windows are what A1111 introduced and other
tools follow; a prompt that fits into one window gets exactly the embedding that diffusers itself would make.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

MAX_WINDOWS = 8  # 600 tokens, about 2,000 characters of English; more costs attention time and says little
_CACHED_WINDOWS = 256

Window = tuple[tuple[int, ...], ...]  # token ids for each of the pipeline's text encoders


@dataclass(frozen=True)
class Cut:
    """A text cut into at least one window. `is_zero` stands for "no text", which SDXL wants as zeros."""

    windows: tuple[Window, ...]
    is_truncated: bool = False
    is_zero: bool = False


@dataclass(frozen=True)
class Embedding:
    """`tokens` is (77·windows, width); `pooled` (width) with SDXL, else None. Tensors on the pipeline's device."""

    tokens: Any
    pooled: Any


class PromptEncoder:
    """Encodes prompts for one pipeline and remembers the windows it has seen (a negative prompt is shared by all)."""

    def __init__(self, pipe: Any):
        self._pipe = pipe
        names = [name for name in ("", "_2") if getattr(pipe, f"text_encoder{name}", None) is not None]
        self._tokenizers = [getattr(pipe, f"tokenizer{name}") for name in names]
        self._encoders = [getattr(pipe, f"text_encoder{name}") for name in names]
        self._remembered: OrderedDict[tuple, tuple[Any, Any]] = OrderedDict()

    def cut(self, text: str, *, is_zero: bool = False) -> Cut:
        """Cut a text into windows; tokens beyond MAX_WINDOWS are dropped and reported as truncated."""
        text = text.encode("utf-8", "replace").decode()  # tokenizers refuse lone surrogates
        columns, is_truncated = [], False
        for tokenizer in self._tokenizers:
            ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
            inner = _length(tokenizer) - 2
            is_truncated |= len(ids) > inner * MAX_WINDOWS
            ids = ids[: inner * MAX_WINDOWS]
            columns.append(
                [_frame(tokenizer, ids[at : at + inner]) for at in range(0, max(1, len(ids)), inner)]
            )
        count = max(map(len, columns))
        for tokenizer, column in zip(self._tokenizers, columns, strict=True):
            column += [_frame(tokenizer, [])] * (count - len(column))
        return Cut(tuple(zip(*columns, strict=True)), is_truncated, is_zero)

    def encode(self, cuts: list[Cut], counts: list[int], lora_key: tuple) -> list[Embedding]:
        """Encode texts, each padded with empty windows to its count.

        `lora_key` names the active LoRAs with their weights, because these change the text encoders too.
        """
        import torch

        empty = self.cut("").windows
        padded = [
            cut.windows + empty * (count - len(cut.windows)) for cut, count in zip(cuts, counts, strict=True)
        ]
        known = self._encode_windows({window for windows in padded for window in windows}, lora_key)
        embeddings = []
        for cut, windows in zip(cuts, padded, strict=True):
            states = [known[window] for window in windows]
            tokens, pooled = torch.cat([tokens for tokens, _ in states]), states[0][1]
            if cut.is_zero:
                tokens, pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
            embeddings.append(Embedding(tokens, pooled))
        return embeddings

    def _encode_windows(self, windows: set, lora_key: tuple) -> dict:
        known = {
            window: self._remembered[lora_key, window]
            for window in windows
            if (lora_key, window) in self._remembered
        }
        missing = sorted(windows - known.keys())
        if missing:
            known.update(zip(missing, self._run_encoders(missing), strict=True))
        for window, states in known.items():
            self._remembered[lora_key, window] = states
            self._remembered.move_to_end((lora_key, window))
        while len(self._remembered) > _CACHED_WINDOWS:
            self._remembered.popitem(last=False)
        return known

    def _run_encoders(self, windows: list) -> list[tuple[Any, Any]]:
        import torch

        parts, pooled = [], None
        is_xl = hasattr(self._pipe, "text_encoder_2")
        with torch.no_grad():
            for encoder, ids in zip(self._encoders, zip(*windows, strict=True), strict=True):
                output = encoder(torch.tensor(ids, device=encoder.device), output_hidden_states=is_xl)
                # SDXL was trained on the layer before the last, SD 1.5 on the last.
                parts.append(output.hidden_states[-2] if is_xl else output[0])
                pooled = output[0] if is_xl else None
        tokens = torch.cat(parts, dim=-1)
        # Copies, or every remembered window would keep the whole batch's tensor alive.
        return [
            (tokens[at].clone(), None if pooled is None else pooled[at].clone()) for at in range(len(windows))
        ]


def _length(tokenizer: Any) -> int:
    # Tokenizers saved without their length report an astronomical one.
    return min(tokenizer.model_max_length, 77)


def _frame(tokenizer: Any, ids: list[int]) -> tuple[int, ...]:
    framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return tuple(framed + [tokenizer.pad_token_id] * (_length(tokenizer) - len(framed)))
