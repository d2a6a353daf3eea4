import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagineer.starter_model.build import STAGES


def _build(work: Path, *arguments: str) -> None:
    """A build of seconds, in a process of its own."""
    command = [sys.executable, "-m", "imagineer.starter_model.build", "--smoke"]
    done = subprocess.run(
        [*command, "--work", str(work), "--out", str(work / "weights"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _hashes(work: Path) -> dict[str, str]:
    out = work / "weights"
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_builds_with_one_seed_give_the_same_bytes_in_one_go_and_stage_by_stage(tmp_path):
    _build(tmp_path / "whole")
    for stage in STAGES:
        _build(tmp_path / "staged", "--stage", stage)
    whole, staged = _hashes(tmp_path / "whole"), _hashes(tmp_path / "staged")
    assert {"model_index.json", "imagineer.json", "unet/diffusion_pytorch_model.safetensors"} <= set(whole)
    assert staged == whole
    _build(tmp_path / "other", "--seed", "2")
    other = _hashes(tmp_path / "other")
    weights = [name for name in whole if name.endswith(".safetensors")]
    assert all(other[name] != whole[name] for name in weights)
