"""Lints the protos and compares them with those of the newest release: part of `make lint`.

Works offline. Before the first release there is nothing to compare with.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUF = Path(sys.executable).parent / "buf"
RELEASE_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def newest_release(tags: list[str]) -> str | None:
    """Return the tag of the highest released version, None when nothing is released."""
    found = [match for tag in tags if (match := RELEASE_TAG.fullmatch(tag))]
    newest = max(found, key=lambda match: tuple(map(int, match.groups())), default=None)
    return newest and newest.group()


def released_tags() -> list[str]:
    """Return the tags of this checkout; a source archive has none."""
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(
        ["git", "tag", "--merged", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def main() -> int:
    """Run both checks; return the exit code."""
    status = subprocess.run([BUF, "lint"], cwd=ROOT, check=False).returncode
    if release := newest_release(released_tags()):
        compared = subprocess.run(
            [BUF, "breaking", "--against", f".git#tag={release}"], cwd=ROOT, check=False
        )
        status = status or compared.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
