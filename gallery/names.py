"""Names as people read them."""


def readable(name: str) -> str:
    """A name that was written for files or programs, as words."""
    return " ".join(name.replace("_", " ").split())
