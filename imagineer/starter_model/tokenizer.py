"""A small byte-pair tokenizer of the CLIP kind, trained on our own prompts.

It needs no download and knows every byte.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import CLIPTokenizer

from .captions import caption
from .pictures import choose_picture
from .words import COMMON

LENGTH = 77  # as in Stable Diffusion
_SIZE = 4096


def _corpus(seed: int, count: int) -> Iterator[str]:
    rng = random.Random(f"{seed}/tokenizer")
    for _ in range(count):
        yield caption(choose_picture(rng), rng, share_of_long=0.5)
    for word in COMMON:
        yield " ".join([word] * 40)  # often enough to become one token


def train_tokenizer(work: Path, *, seed: int, captions: int = 20000) -> CLIPTokenizer:
    """Train and leave the result in `work/tokenizer/`; an existing one is loaded."""
    folder = work / "tokenizer"
    if folder.exists():
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    empty = CLIPTokenizer().backend_tokenizer
    model = Tokenizer(BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    model.normalizer, model.pre_tokenizer = empty.normalizer, empty.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Named beforehand, every symbol has a number of its own. The trainer numbers those that end a word as it meets
    # them in a hash table, whose order differs from process to process, and breaks ties between equally frequent
    # pairs by number.
    ends = [char + "</w>" for char in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE - 2,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
        special_tokens=ends,
    )
    model.train_from_iterator(_corpus(seed, captions), trainer)
    trained = json.loads(model.to_str())["model"]
    tokens = sorted(trained["vocab"], key=trained["vocab"].get)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in trained["merges"]]
    tokenizer = CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=merges, model_max_length=LENGTH
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
