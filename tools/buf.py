"""Check the protos, offline: lint them, and compare them with the newest release."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUF = str(Path(sysconfig.get_path("scripts")) / "buf")
RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def newest_release(root: Path) -> str | None:
    """Return the tag of the newest release, or None before the first."""
    command = ["git", "-C", str(root), "tag", "--list", "v*"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [match for line in listed.split() if (match := RELEASE.fullmatch(line))]
    versions = sorted(tuple(map(int, match.groups())) for match in found)
    return "v{}.{}.{}".format(*versions[-1]) if versions else None


def has_protos(root: Path, tag: str) -> bool:
    """Return whether the release knew any protos."""
    command = ["git", "-C", str(root), "ls-tree", "-r", "--name-only", tag, "proto/"]
    return bool(subprocess.run(command, capture_output=True, check=True).stdout.strip())


def check(root: Path) -> int:
    """Return 0 when all is well; buf says on its own what is not."""
    code = subprocess.run([BUF, "lint"], cwd=root, check=False).returncode
    tag = newest_release(root)
    if tag is not None and has_protos(root, tag):
        against = [BUF, "breaking", "--against", f".git#tag={tag}"]
        code = code or subprocess.run(against, cwd=root, check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(check(ROOT))
