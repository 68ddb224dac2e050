"""Finds what ships with Whimbrel: beside the package in a wheel, in the tree of a checkout."""

from pathlib import Path

import whimbrel

PACKAGE = Path(whimbrel.__file__).parent
BUNDLED = PACKAGE / "_bundled"
CHECKOUT = PACKAGE.parents[1]


def bundled(kind: str) -> Path:
    """Return the folder of the shipped `runners`, `sensors` or `packs`."""
    return (BUNDLED if BUNDLED.is_dir() else CHECKOUT) / kind
