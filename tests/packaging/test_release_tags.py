"""Which release the protos are compared with."""

import runpy
from pathlib import Path

import pytest

BUF = Path(__file__).parents[2] / "tools" / "buf.py"


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        ([], None),
        (["nightly", "v1", "v0.1.0-rc1"], None),
        (["v0.9.0", "v0.10.0", "v0.2.11"], "v0.10.0"),
    ],
)
def test_the_highest_version_is_the_newest(tags: list[str], newest: str | None) -> None:
    """Versions compare as numbers, and only releases count."""
    assert runpy.run_path(str(BUF))["newest_release"](tags) == newest
