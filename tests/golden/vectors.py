"""Vectors: how they are read, run through an adapter, and compared. Nothing here prints."""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

ADAPTERS = "tests.golden.adapters"
NOTE = "note:"
_INFORMATIVE = ("message", "error")
"""Members of an expectation that are texts of the reference, never compared."""

NOT_IMPLEMENTED = {"raises": "not_implemented"}
"""The outcome of a vector whose kind the adapter does not know; it is left out of the counts."""

Run = Callable[[dict[str, Any]], object]


class Vector(msgspec.Struct, frozen=True):
    """One line of a vector file."""

    id: str
    input: dict[str, Any]
    expect: Any
    note: str = ""


class KnownFailure(msgspec.Struct, frozen=True):
    """A difference that is meant, with the reason: a vector's id or its beginning, or its note."""

    prefix: str
    reason: str

    def covers(self, vector: Vector) -> bool:
        """Say whether the difference of `vector` is this one."""
        if self.prefix.startswith(NOTE):
            return vector.note.startswith(self.prefix.removeprefix(NOTE).strip())
        return vector.id.startswith(self.prefix)


class Difference(msgspec.Struct, frozen=True):
    """A vector that came out otherwise; `known` says why that is meant, or is None."""

    vector: Vector
    got: object
    known: KnownFailure | None


class FileResult(msgspec.Struct, frozen=True):
    """What became of one file. `left_out` counts the vectors that no adapter knows."""

    path: Path
    total: int
    left_out: int = 0
    differences: tuple[Difference, ...] = ()
    stale: tuple[KnownFailure, ...] = ()

    @property
    def passed(self) -> int:
        """How many came out as expected."""
        return self.total - self.left_out - len(self.differences)

    @property
    def unexpected(self) -> tuple[Difference, ...]:
        """The differences that nobody listed."""
        return tuple(difference for difference in self.differences if difference.known is None)


def find_files(places: Sequence[Path]) -> list[Path]:
    """Return the vector files among and below `places`; places that are absent give none."""
    files: list[Path] = []
    for place in places:
        files += sorted(place.rglob("*.jsonl")) if place.is_dir() else []
        files += [place] if place.is_file() else []
    return files


def read_known_failures(text: str) -> tuple[KnownFailure, ...]:
    """Return the entries of the list of known failures: `id, prefix or note:text  # reason`."""
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        prefix, mark, reason = line.rpartition("  # ")
        if not mark or not prefix.strip() or not reason.strip():
            raise ValueError(f"line {number}: expected 'id-or-prefix  # reason', got {line!r}")
        entries.append(KnownFailure(prefix.strip(), reason.strip()))
    return tuple(entries)


def run_file(path: Path, known: Sequence[KnownFailure]) -> FileResult:
    """Run every vector of a file through the adapter of that name."""
    run = find_adapter(path.stem)
    if run is None:
        with path.open(encoding="utf-8") as lines:
            total = sum(1 for line in lines if line.strip())
        return FileResult(path, total, left_out=total)
    tried = list(read_vectors(path))
    outcomes = [(vector, outcome(run, vector.input)) for vector in tried]
    done = [(vector, got) for vector, got in outcomes if got != NOT_IMPLEMENTED]
    differences = tuple(
        Difference(vector, got, _known(vector, known))
        for vector, got in done
        if not matches(vector.expect, got)
    )
    stale = _stale([vector for vector, _ in done], differences, known)
    return FileResult(path, len(tried), len(tried) - len(done), differences, stale)


def find_adapter(stem: str) -> Run | None:
    """Return what runs the vectors of the file with this stem, None when nothing does."""
    name = f"{ADAPTERS}.{stem}"
    if not stem.isidentifier() or importlib.util.find_spec(name) is None:
        return None
    run: Run = importlib.import_module(name).run
    return run


def read_vectors(path: Path) -> Iterator[Vector]:
    """Yield the vectors of a file; the order of members, which has meaning, is kept."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                document = json.loads(line)
                yield Vector(
                    document["id"], document["input"], document["expect"], document.get("note", "")
                )


def outcome(run: Run, given: dict[str, Any]) -> object:
    """Return what `run` makes of an input; an expected kind of error as `{"raises": category}`.

    An error without a category is one that nobody thought of: it is shown, and matches nothing.
    """
    try:
        return run(given)
    # Whatever an adapter raises is the outcome of this one vector.
    except Exception as error:  # noqa: BLE001
        category = getattr(error, "category", None)
        if category is None:
            return {"unexpected": f"{type(error).__name__}: {error}"}
        details = {name: getattr(error, name) for name in _DETAILS if hasattr(error, name)}
        return {"raises": category, **details}


_DETAILS = ("keyword", "path", "attribute", "candidates", "problems")


def matches(expected: Any, got: Any) -> bool:
    """Say whether an outcome is the expected one, texts of the reference aside."""
    if not isinstance(expected, dict) or not isinstance(got, dict):
        return equal(expected, got)
    if "raises" in expected:
        return expected["raises"] == got.get("raises") and _details_match(expected, got)
    expected, got = _comparable(expected), _comparable(got)
    return equal(expected, got)


def _details_match(expected: dict[str, Any], got: dict[str, Any]) -> bool:
    problems = got.get("problems", ())
    if len(problems) > 1:
        # Which of several problems comes first is nobody's promise.
        return True
    shared = expected.keys() & got.keys() & set(_DETAILS)
    return all(equal(expected[name], _as_list(got[name])) for name in shared)


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in _INFORMATIVE}
    if isinstance(kept.get("failures"), list):
        kept["failures"] = [
            {name: value for name, value in failure.items() if name != "message"}
            for failure in kept["failures"]
        ]
    return kept


def equal(expected: Any, got: Any) -> bool:
    """Say whether two JSON values are the same; 5 is 5.0, but true is not 1."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(
            equal(value, got[name]) for name, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(map(equal, expected, got))
    return bool(expected == got)


def _known(vector: Vector, known: Sequence[KnownFailure]) -> KnownFailure | None:
    return next((entry for entry in known if entry.covers(vector)), None)


def _stale(
    vectors: Sequence[Vector], differences: Sequence[Difference], known: Sequence[KnownFailure]
) -> tuple[KnownFailure, ...]:
    """Return the entries that cover vectors of the file, all of which pass."""
    used = {difference.known for difference in differences}
    return tuple(
        entry
        for entry in known
        if entry not in used and any(entry.covers(vector) for vector in vectors)
    )
