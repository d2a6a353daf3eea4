"""The text encoder, trained before the UNet to tell what a prompt asks for, and then frozen.

Trained jointly with the UNet from nothing it does not learn to follow prompts in the time that we have (at or near chance
after sixteen minutes, while the loss falls nicely); trained like this it takes a few minutes.
"""

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .captions import BACKGROUND_FORMS, caption, template_caption
from .pictures import Picture, choose_picture
from .styles import COLOUR_WORDS, COLOURS, STYLES
from .subjects import SUBJECTS, SUITS
from .tokenizer import LENGTH
from .training import Budget, Run, begin_with, rate

WIDTH, LAYERS, HEADS = 192, 3, 6
_SUBJECTS = [subject.name for subject in SUBJECTS]
_COLOURS, _STYLES = list(COLOURS), list(STYLES)
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

    def forward(self, ids: torch.Tensor, at: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        hidden = self.encoder(ids).last_hidden_state
        views = hidden[:, 1:].mean(1), hidden[torch.arange(len(ids)), at]
        return {name: tuple(head(view) for view in views) for name, head in self.heads.items()}


def _label(picture: Picture, text: str) -> list[int]:
    """What the text says; what it leaves out is the extra class."""
    lower = text.lower()
    names = (picture.background, *COLOUR_WORDS[picture.background].split())
    says_background = any(form.format(name) in lower for name in names for form in BACKGROUND_FORMS)
    says_style = any(form in lower for form in STYLES[picture.style])
    says_colour = picture.colour and any(
        n in lower for n in (picture.colour, *COLOUR_WORDS[picture.colour].split())
    )
    return [
        _SUBJECTS.index(picture.subject),
        _COLOURS.index(picture.colour) if says_colour else len(_COLOURS),
        _COLOURS.index(picture.background) if says_background else len(_COLOURS),
        _STYLES.index(picture.style) if says_style else len(_STYLES),
        SUITS.index(picture.suit) if picture.suit else len(SUITS),
    ]


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
    """Train, or go on training, and leave the result in `work/text_encoder/`. `start` is a pipeline's folder to begin with."""
    folder = work / "text_encoder"
    if folder.exists():
        return CLIPTextModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
    torch.manual_seed(seed)
    reader = _Reader(make_text_encoder(tokenizer))
    if start:
        begin_with(reader.encoder, start / "text_encoder" / "model.safetensors")
        _take_rows(reader.encoder, tokenizer, start)
    run = Run(work / "text_encoder.safetensors", reader, budget, seed=seed, betas=(0.9, 0.98))
    for step, fraction in run:
        rng = random.Random(int(run.numbers.integers(2**62)))
        pictures = [choose_picture(rng) for _ in range(64)]
        texts = [caption(p, rng, is_long=0.5) for p in pictures]
        for i in range(2):  # a prompt that asks for nothing
            texts[i] = "" if i else " ".join(t for t in template_caption(pictures[i], rng).split()[:2])
        length = (40, 56, LENGTH)[step % 3]
        ids = tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        ends = (ids == tokenizer.eos_token_id).int().argmax(1)
        at = (
            ends + (torch.rand(len(ids)) * (length - ends)).long()
        )  # the end of the text or any padding after it
        labels = torch.tensor([_label(p, t) for p, t in zip(pictures, texts, strict=True)])
        labels[:2] = torch.tensor([count - 1 for count in CLASSES.values()])
        loss, right = 0.0, {}
        for column, (name, views) in enumerate(reader(ids, at).items()):
            loss = loss + sum(F.cross_entropy(view, labels[:, column]) for view in views)
            right[name[:3]] = (views[1].argmax(1) == labels[:, column]).float().mean()
        run.backward(loss, rate(1.5e-3, step, fraction, warm=100), **right)
    reader.encoder.save_pretrained(folder)
    return reader.encoder.eval().requires_grad_(False)


@torch.no_grad()
def read_prompt(reader: "_Reader", tokenizer: CLIPTokenizer, text: str) -> dict[str, int]:
    """The classes that the heads read from one prompt: a look into what the encoder understood."""
    ids = tokenizer(
        text, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return {
        name: views[1].argmax(1).item() for name, views in reader(ids, torch.tensor([LENGTH - 1])).items()
    }
