"""The header of a safetensors file, read without torch and without trust.

Format: https://huggingface.co/docs/safetensors (8 bytes little-endian length, JSON, then the tensors' bytes).
"""

import hashlib
import json
import math
import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

MAX_HEADER_BYTES = 25_000_000  # the largest real LoRA headers are a few megabytes, checkpoints about one
_ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
}
_ITEM_BYTES |= {"F64": 8, "I64": 8, "U64": 8}


class TensorFileError(ValueError):
    """The file is not a whole and well-formed safetensors file; the text says why, without naming the file."""


class TensorFileCut(TensorFileError):
    """The end of the file is missing, as while it is being copied."""


@dataclass(frozen=True)
class Tensor:
    """One tensor's entry. `begin` and `end` are offsets in bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorHeader:
    """The tensors by name, the file's own metadata, and the offset in bytes where the tensors begin."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    data_start: int


def read_header(path: Path) -> TensorHeader:
    """Read and check the header of a safetensors file.

    Every tensor must lie inside the file, be as long as its type and shape say, and overlap no other.
    Raises TensorFileError (TensorFileCut when its end is missing), or OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if start == b"version ":
            raise TensorFileError("it is a Git LFS pointer, not the weights: run `git lfs pull`")
        if len(start) < 8:
            raise TensorFileCut("it is too short to be a safetensors file")
        length = struct.unpack("<Q", start)[0]
        if length > MAX_HEADER_BYTES:  # as the first letters of a page or a text would say
            raise TensorFileError(
                f"it is not a safetensors file, or its header is larger than {MAX_HEADER_BYTES // 1_000_000} MB"
            )
        if length > size - 8:
            raise TensorFileCut("it is cut short, or not a safetensors file")
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise TensorFileError("its header is not JSON, so it is no safetensors file") from None
    if not isinstance(header, dict):
        raise TensorFileError("its header is not a table of tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TensorFileError("its metadata is not a table of texts")
    data_start = 8 + length
    tensors = {name: _read_tensor(name, entry, data_start) for name, entry in header.items()}
    spans = sorted((tensor.begin, tensor.end) for tensor in tensors.values())
    if any(following[0] < previous[1] for previous, following in pairwise(spans)):
        raise TensorFileError("two of its tensors overlap")
    if spans and spans[-1][1] > size:
        raise TensorFileCut("it is cut short: a tensor lies beyond its end")
    return TensorHeader(tensors, metadata, data_start)


def _read_tensor(name: str, entry: object, data_start: int) -> Tensor:
    broken = TensorFileError(f"the entry of its tensor {name[:100]!r} is malformed")
    if not isinstance(entry, dict):
        raise broken
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(
            type(number) is int and number >= 0 for number in numbers
        ):
            raise broken
    if not isinstance(dtype, str) or len(shape) > 16 or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise broken
    # An unknown type is left to the library that loads the file: new ones appear with every release.
    if dtype in _ITEM_BYTES and math.prod(shape) * _ITEM_BYTES[dtype] != offsets[1] - offsets[0]:
        raise broken
    return Tensor(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def read_scalar(path: Path, tensor: Tensor) -> float:
    """Return the value of a tensor that holds one floating point number; raise TensorFileError for any other."""
    form = {"F16": "<e", "BF16": "<f", "F32": "<f", "F64": "<d"}.get(tensor.dtype)
    if form is None or math.prod(tensor.shape) != 1:
        raise TensorFileError("a tensor that should be one number is none")
    with path.open("rb") as file:
        file.seek(tensor.begin)
        raw = file.read(tensor.end - tensor.begin)
    # bfloat16 is the upper half of a float32.
    return struct.unpack(form, b"\0\0" + raw if tensor.dtype == "BF16" else raw)[0]


def hash_file(path: Path, *, start: int = 0) -> str:
    """Return the SHA-256 (hex) of the file's bytes from offset `start` on, remembered by path, size and time."""
    path = Path(path)
    status = path.stat()
    return _hash_file(path, start, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_file(path: Path, start: int, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest()
