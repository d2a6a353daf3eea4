import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagineer.starter_model.build import STAGES


def _try_to_build(work: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A build of seconds, in a process of its own."""
    command = [sys.executable, "-m", "imagineer.starter_model.build", "--smoke"]
    return subprocess.run(
        [*command, "--work", str(work), "--out", str(work / "weights"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _build(work: Path, *arguments: str) -> None:
    done = _try_to_build(work, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]


def _hashes(work: Path) -> dict[str, str]:
    out = work / "weights"
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _train_tokenizer(work: Path, hash_seed: int) -> bytes:
    """Train it in a process of its own: what differs between processes is the order of hash tables, and threads."""
    work.mkdir()
    code = (
        "import sys; from pathlib import Path; from imagineer.starter_model.tokenizer import train_tokenizer;"
        "train_tokenizer(Path(sys.argv[1]), seed=1, captions=150)"
    )
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "RAYON_NUM_THREADS": str(hash_seed)}
    subprocess.run([sys.executable, "-c", code, str(work)], check=True, env=environment, capture_output=True)
    return (work / "tokenizer" / "tokenizer.json").read_bytes()


def test_tokenizers_trained_in_different_processes_are_the_same(tmp_path):
    trained = [_train_tokenizer(tmp_path / str(seed), seed) for seed in (1, 2)]
    assert trained[0] == trained[1]


def test_a_part_to_keep_that_was_half_copied_is_copied_again(tmp_path):
    given = tmp_path / "given" / "tokenizer"
    given.mkdir(parents=True)
    (given / "vocab.json").write_text("{}")
    (given / "merges.txt").symlink_to(tmp_path / "away")
    keep = ("--stage", "pictures", "--start", str(given.parent), "--keep", "tokenizer")
    work = tmp_path / "work"
    assert "merges.txt" in _try_to_build(work, *keep).stderr
    (tmp_path / "away").write_text("a b")
    _build(work, *keep)
    assert {path.name: path.read_text() for path in (work / "tokenizer").iterdir()} == {
        "vocab.json": "{}",
        "merges.txt": "a b",
    }
    assert not list(work.glob("*.part"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_builds_with_one_seed_give_the_same_bytes(tmp_path):
    _build(tmp_path / "one")
    _build(tmp_path / "two")
    assert _hashes(tmp_path / "one") == _hashes(tmp_path / "two")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_build_stage_by_stage_makes_a_whole_folder_that_depends_on_its_seed(tmp_path):
    for stage in STAGES:
        _build(tmp_path / "staged", "--stage", stage)
    staged = _hashes(tmp_path / "staged")
    assert {"model_index.json", "imagineer.json", "unet/diffusion_pytorch_model.safetensors"} <= set(staged)
    _build(tmp_path / "other", "--seed", "2")
    other = _hashes(tmp_path / "other")
    weights = [name for name in staged if name.endswith(".safetensors")]
    assert all(other[name] != staged[name] for name in weights)
