"""The training pictures on disk: shards of pictures with what they show, drawn once, the same for the same seed."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .pictures import Picture, choose_picture, draw_picture

SHARD = 500


@dataclass(frozen=True)
class Bucket:
    """One shape of pictures and its share of the data set; sizes in pixels, multiples of 8."""

    width: int
    height: int
    share: float

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}"


BUCKETS = (Bucket(128, 128, 0.52), Bucket(128, 192, 0.30), Bucket(112, 192, 0.08), Bucket(192, 128, 0.10))


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` file under another name and rename it: what exists is whole."""
    part = path.with_suffix(".part.npy")
    np.save(part, array)
    part.rename(path)


def draw_shards(work: Path, *, seed: int, total: int, shard: int = SHARD) -> None:
    """Draw about `total` pictures into `work/pictures/`; what is already there stays."""
    folder = work / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(b, i) for b in BUCKETS for i in range(max(1, round(total * b.share / shard)))]
    for bucket, index in tqdm(jobs, desc="pictures", unit="shard"):
        path = folder / f"{bucket.name}-{index:03d}.npy"
        if path.exists():
            continue
        rng = random.Random(f"{seed}/{bucket.name}/{index}")
        specs = [choose_picture(rng, bucket.width, bucket.height) for _ in range(shard)]
        path.with_suffix(".json").write_text(json.dumps([asdict(spec) for spec in specs]))
        write_array(path, np.stack([draw_picture(spec, rng) for spec in specs]))


def shard_paths(work: Path, bucket: Bucket) -> list[Path]:
    return sorted(p for p in (work / "pictures").glob(f"{bucket.name}-*.npy") if ".part" not in p.name)


def open_pictures(work: Path, bucket: Bucket) -> list[np.ndarray]:
    """One read-only uint8 array (pictures, height, width, 3) for each shard, mapped and not loaded."""
    return [np.load(path, mmap_mode="r") for path in shard_paths(work, bucket)]


def read_specs(work: Path, bucket: Bucket) -> list[Picture]:
    """What each picture of the bucket shows, in the order of the shards."""
    return [
        Picture(**d)
        for p in shard_paths(work, bucket)
        for d in json.loads(p.with_suffix(".json").read_text())
    ]
