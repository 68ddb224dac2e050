"""Run golden vectors through the live code: `python tools/vectors.py [FILE_OR_FOLDER …]`.

Exits with 1 when a vector fails that tests/known_vector_failures.txt does not list.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.golden import vectors  # noqa: E402  the checkout has to be importable first

DEFAULT_PLACE = ROOT.parent / "shared" / "vectors"
KNOWN_FAILURES = ROOT / "tests" / "known_vector_failures.txt"
SHOWN_CHARS = 160


def main(arguments: list[str]) -> int:
    """Run the files, print what came of them; return the exit code."""
    places = [Path(argument) for argument in arguments] or [DEFAULT_PLACE]
    for place in places:
        if not place.exists():
            print(f"{place}: absent, nothing to run")
    known = vectors.read_known_failures(KNOWN_FAILURES.read_text(encoding="utf-8"))
    results = [vectors.run_file(path, known) for path in vectors.find_files(places)]
    for result in results:
        report(result)
    passed = sum(result.passed for result in results)
    failed = sum(len(result.differences) for result in results)
    left_out = {result.path.stem: result.left_out for result in results if result.left_out}
    if left_out:
        print(f"not implemented: {sum(left_out.values())} vectors ({', '.join(left_out)})")
    print(f"{passed} passed, {failed} failed")
    return 1 if any(result.unexpected for result in results) else 0


def report(result: vectors.FileResult) -> None:
    """Print each failure of a file, then its counts."""
    name = result.path.name
    if result.left_out == result.total:
        print(f"{name}: {result.total} not implemented")
        return
    for difference in result.differences:
        mark = f"known: {difference.known.reason}" if difference.known else "FAILED"
        expected = shortened(difference.vector.expect)
        print(f"{difference.vector.id} {mark}\n  expected {expected}")
        print(f"  got      {shortened(difference.got)}")
    for entry in result.stale:
        print(f"stale: {entry.prefix} is listed as a known failure and passes")
    failed, new = len(result.differences), len(result.unexpected)
    left_out = f", {result.left_out} not implemented" if result.left_out else ""
    print(f"{name}: {result.passed} passed, {failed} failed ({failed - new} known){left_out}")


def shortened(value: object) -> str:
    """Return a value as JSON of bounded length."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
