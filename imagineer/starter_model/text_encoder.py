"""The text encoder, trained before the UNet to tell what a prompt asks for, and then frozen.

Trained jointly with the UNet from nothing it does not learn to follow prompts in the time that we have (at or near
chance after sixteen minutes, while the loss falls nicely); trained like this it takes a few minutes.
"""

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .captions import Told, tell_at_length, tell_little, tell_shortly, unseen_prompt
from .pictures import Picture, choose_picture
from .styles import COLOURS, STYLES
from .subjects import SUBJECTS, SUITS
from .tokenizer import LENGTH
from .training import Budget, Run, begin_with, rate

WIDTH, LAYERS, HEADS = 192, 3, 6
_BATCH, _LITTLE = 64, 5  # prompts in a step, and those of them that name no subject
_SHORT = 40  # tokens
_SUBJECTS = [subject.name for subject in SUBJECTS]
_COLOURS, _STYLES = list(COLOURS), list(STYLES)
_UNSEEN_SAYS = frozenset({"subject", "colour", "background", "style"})
# The last class of each is "not said".
CLASSES = {
    "subject": len(_SUBJECTS) + 1,
    "colour": len(_COLOURS) + 1,
    "background": len(_COLOURS) + 1,
    "style": len(_STYLES) + 1,
    "suit": len(SUITS) + 1,
}


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=LENGTH,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
    )


class _Reader(nn.Module):
    """The encoder with one linear head for each thing that a prompt may say."""

    def __init__(self, encoder: CLIPTextModel):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, count) for name, count in CLASSES.items()})

    def forward(self, ids: torch.Tensor, ends: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Logits from the mean of all positions, the mean of those from the text's end on, and one of these by chance.

        The UNet looks at single positions and at their mean, so each must carry the whole reading.
        """
        hidden = self.encoder(ids).last_hidden_state
        length = ids.shape[1]
        is_behind = (torch.arange(length) >= ends[:, None]).to(hidden.dtype)[..., None]
        behind = (hidden * is_behind).sum(1) / is_behind.sum(1)
        at = ends + (torch.rand(len(ids)) * (length - ends)).long()
        views = hidden[:, 1:].mean(1), behind, hidden[torch.arange(len(ids)), at]
        return {name: [head(view) for view in views] for name, head in self.heads.items()}


def _labels(pictures: list[Picture], told: list[Told]) -> torch.Tensor:
    """The classes (prompts, heads) that the texts tell; what a text leaves out is the last class."""
    rows = []
    for picture, (_, says) in zip(pictures, told, strict=True):
        values = {
            "subject": _SUBJECTS.index(picture.subject),
            "colour": _COLOURS.index(picture.colour) if picture.colour else None,
            "background": _COLOURS.index(picture.background),
            "style": _STYLES.index(picture.style),
            "suit": SUITS.index(picture.suit) if picture.suit else None,
        }
        rows.append([values[name] if name in says else count - 1 for name, count in CLASSES.items()])
    return torch.tensor(rows)


def _encode(tokenizer: CLIPTokenizer, texts: list[str], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (texts, length), and where each text ends."""
    ids = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids, (ids == tokenizer.eos_token_id).int().argmax(1)


def _take_rows(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, start: Path) -> None:
    """Give each token the row of the token of the same name in the folder that the weights come from."""
    before = CLIPTokenizer.from_pretrained(start / "tokenizer", local_files_only=True).get_vocab()
    pairs = [(row, before[token]) for token, row in tokenizer.get_vocab().items() if token in before]
    rows, theirs = (torch.tensor(column) for column in zip(*pairs, strict=True))
    with safe_open(start / "text_encoder" / "model.safetensors", "pt") as file:
        given = file.get_tensor("embeddings.token_embedding.weight")
    with torch.no_grad():
        encoder.get_input_embeddings().weight[rows] = given[theirs].float()


def train_text_encoder(
    work: Path, tokenizer: CLIPTokenizer, budget: Budget, *, seed: int, start: Path | None = None
) -> CLIPTextModel:
    """Train, or go on training, and leave the result in `work/text_encoder/`.

    `start` is a pipeline's folder to begin with.
    """
    folder = work / "text_encoder"
    if folder.exists():
        return CLIPTextModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
    torch.manual_seed(seed)
    reader = _Reader(make_text_encoder(tokenizer))
    if start:
        budget = begin_with(reader.encoder, start / "text_encoder" / "model.safetensors", budget)
        _take_rows(reader.encoder, tokenizer, start)
    run = Run(work / "text_encoder.safetensors", reader, budget, seed=seed, betas=(0.9, 0.98))
    for step, fraction in run:
        rng = random.Random(int(run.numbers.integers(2**62)))
        # Two of three batches are as wide as the UNet's; the third costs half of their time.
        kinds, length = (
            ((tell_shortly,), _SHORT) if step % 3 == 0 else ((tell_shortly, tell_at_length), LENGTH)
        )
        pictures = [choose_picture(rng) for _ in range(_BATCH)]
        told = [(tell_little if i < _LITTLE else rng.choice(kinds))(p, rng) for i, p in enumerate(pictures)]
        labels = _labels(pictures, told)
        read = reader(*_encode(tokenizer, [text for text, _ in told], length))
        loss, right = 0.0, {}
        for column, (name, views) in enumerate(read.items()):
            loss = loss + sum(F.cross_entropy(view, labels[:, column]) for view in views)
            right[name[:3]] = (views[2].argmax(1) == labels[:, column]).float().mean()
        run.backward(loss, rate(1.5e-3, step, fraction, warm=100), **right)
    for title, shares in reading(reader, tokenizer, seed=seed).items():
        print(f"prompts read, {title}:", *(f"{k} {v:.3f}" for k, v in shares.items()), flush=True)
    reader.encoder.save_pretrained(folder)
    return reader.encoder.eval().requires_grad_(False)


@torch.no_grad()
def reading(
    reader: _Reader, tokenizer: CLIPTokenizer, *, seed: int, count: int = 500
) -> dict[str, dict[str, float]]:
    """Shares of prompts that the heads read right from the positions behind the text, by kind of prompt and by head.

    What a prompt leaves out is right when it is read as left out.
    """
    rng = random.Random(f"{seed}/reading")
    kinds = {
        "short": tell_shortly,
        "long": tell_at_length,
        "little": tell_little,
        "unseen": lambda p, rng: Told(
            unseen_prompt(p, rng), _UNSEEN_SAYS - (set() if p.colour else {"colour"})
        ),
    }
    shares = {}
    for title, tell in kinds.items():
        pictures = [choose_picture(rng) for _ in range(count)]
        told = [tell(p, rng) for p in pictures]
        texts, labels = [t.text for t in told], _labels(pictures, told)
        parts = [reader(*_encode(tokenizer, texts[i : i + 50], LENGTH)) for i in range(0, count, 50)]
        shares[title] = {
            name: (torch.cat([part[name][1] for part in parts]).argmax(1) == labels[:, column])
            .float()
            .mean()
            .item()
            for column, name in enumerate(CLASSES)
        }
    return shares
