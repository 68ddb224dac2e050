"""The live code against the golden vectors, and the tool's own comparison."""

from pathlib import Path

import pytest

from tests.golden import vectors
from tests.golden.vectors import KnownFailure, Vector, equal, matches, outcome

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "vectors"
KNOWN = vectors.read_known_failures(
    (ROOT / "tests" / "known_vector_failures.txt").read_text(encoding="utf-8")
)
ADAPTERS = sorted(
    path.stem for path in (ROOT / "tests/golden/adapters").glob("*.py") if path.stem != "__init__"
)


@pytest.mark.parametrize("area", ADAPTERS)
def test_area(area: str) -> None:
    """Every vector of an implemented area comes out as expected, or is listed with the reason."""
    files = [path for path in vectors.find_files([FOLDER]) if path.stem == area]
    if not files:
        pytest.skip(f"no {area}.jsonl under ../shared/vectors of this checkout")
    for path in files:
        result = vectors.run_file(path, KNOWN)
        shown = [
            (difference.vector.id, difference.vector.expect, difference.got)
            for difference in result.unexpected
        ]
        assert not shown, f"{len(shown)} of {result.total} differ, first: {shown[:3]}"


def test_numbers_are_compared_by_value_and_booleans_are_not_numbers() -> None:
    """5 is 5.0 and a huge integer is exact, but true is not 1 and a text is not its number."""
    assert equal({"a": [5, 2**70]}, {"a": [5.0, 2**70]})
    assert not equal(True, 1)
    assert not equal(1, True)
    assert not equal("1", 1)


def test_texts_of_the_reference_are_not_compared() -> None:
    """Messages may be anything, in failures too, but a failure may not be missing."""
    expected = {"matched": False, "failures": [{"stage": "operator", "message": "x"}]}
    assert matches(expected, {"matched": False, "failures": [{"stage": "operator"}]})
    assert not matches(expected, {"matched": False, "failures": []})
    assert not matches(expected, {"matched": False})


class ProblemError(Exception):
    """A schema error as adapters raise it."""

    category = "schema_validation"

    def __init__(self, keyword: str, problems: tuple[str, ...]) -> None:
        super().__init__(keyword)
        self.keyword = keyword
        self.path = ("cmd",)
        self.problems = problems


def _refusing(error: Exception) -> vectors.Run:
    def run(_: object) -> object:
        raise error

    return run


def test_a_single_schema_problem_must_be_the_same_one() -> None:
    """Keyword and path count when a document has one problem, and not when it has several."""
    expected = {"raises": "schema_validation", "keyword": "type", "path": ["cmd"], "message": "m"}
    assert matches(expected, outcome(_refusing(ProblemError("type", ("a",))), {}))
    assert not matches(expected, outcome(_refusing(ProblemError("required", ("a",))), {}))
    assert matches(expected, outcome(_refusing(ProblemError("required", ("a", "b"))), {}))


def test_an_error_without_a_category_matches_nothing() -> None:
    """A crash of the code under test never counts as an expected error."""
    assert not matches({"raises": "type_error"}, outcome(_refusing(TypeError("boom")), {}))


def test_known_failures_cover_ids_beginnings_and_notes() -> None:
    """An entry covers a vector by its id, the beginning of it, or the beginning of its note."""
    vector = Vector("rules/lookup/1", {}, {}, "an accident of the reference")
    listed = vectors.read_known_failures(
        "# head\n\nrules/look  # reason\nnote:an accident  # other\nrules/other  # third\n"
    )
    assert [entry.covers(vector) for entry in listed] == [True, True, False]
    assert listed[0] == KnownFailure("rules/look", "reason")


def test_a_known_failure_needs_a_reason() -> None:
    """A line without a reason is refused with its number."""
    with pytest.raises(ValueError, match="line 1"):
        vectors.read_known_failures("rules/lookup/1\n")
