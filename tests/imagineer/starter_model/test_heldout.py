from pathlib import Path

from imagineer.starter_model.heldout import write_held_out

COMMITTED = Path(__file__).parents[2] / "data" / "starter_heldout"


def test_the_committed_pictures_are_those_of_the_two_styles_and_ten_subjects_held_out():
    pictures = {str(path.relative_to(COMMITTED)) for path in COMMITTED.rglob("*.png")}
    assert sum(name.startswith("subjects/") for name in pictures) == 30
    assert sum(name.startswith("chalk/") for name in pictures) == 12
    assert sum(name.startswith("blueprint/") for name in pictures) == 12
    for name in pictures:
        assert (COMMITTED / name).with_suffix(".txt").read_text().strip()


def test_writing_them_again_gives_the_same_captions(tmp_path):
    write_held_out(tmp_path)
    for path in COMMITTED.rglob("*.txt"):
        assert (tmp_path / path.relative_to(COMMITTED)).read_text() == path.read_text()
