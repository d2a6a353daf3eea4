"""Names as people read them."""

import unicodedata

# what no name needs: control signs, line breaks, signs that turn the direction of writing, halves of signs
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp", "Cf"}
JOINERS = "\u200c\u200d"  # within emoji and some scripts
# the name of an album that would be named after a prompt that not everybody may read
UNTOLD_ALBUM = "Single picture"


def readable(name: str) -> str:
    """A name that was written for files or programs, as words."""
    return " ".join(name.replace("_", " ").split())


def name_of(prompt: str, *, most: int = 80) -> str:
    """The beginning of a prompt as a name, without the signs that no name may hold."""
    kept = (
        sign
        for sign in prompt
        if sign.isspace() or sign in JOINERS or unicodedata.category(sign) not in UNPRINTABLE
    )
    return " ".join("".join(kept).split())[:most].strip() or "Untitled"
