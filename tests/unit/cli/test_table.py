"""Tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.cli import table

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=60)


def test_a_table_has_borders_and_padded_cells() -> None:
    """Columns are as wide as their widest cell."""
    lines = list(table.lines(("id", "name"), [("1", "ann"), ("22", "")]))

    assert lines == [
        "+----+------+",
        "| id | name |",
        "+----+------+",
        "| 1  | ann  |",
        "| 22 |      |",
        "+----+------+",
    ]


def test_long_text_is_broken_at_spaces_to_fit_the_terminal() -> None:
    """The widest column gives way; an id is never broken."""
    row = ("5f0000000000000000000001", "one two three four five six")
    lines = list(table.lines(("id", "text"), [row], width=45))

    assert lines[3:5] == [
        "| 5f0000000000000000000001 | one two three  |",
        "|                          | four five six  |",
    ]


def test_control_characters_are_shown_and_not_sent() -> None:
    """What an action printed cannot drive the terminal of who lists it."""
    lines = "\n".join(table.lines(("a",), [("\x1b[31mred\x07\r\nnext\ttab",)]))

    assert "\\x1b[31mred\\x07" in lines
    assert "\x1b" not in lines
    assert "| next    tab" in lines


def test_wide_characters_take_two_columns() -> None:
    """East Asian text is padded by what the terminal shows."""
    lines = list(table.lines(("a",), [("世界",), ("abcd",)]))

    assert lines[3:5] == ["| 世界 |", "| abcd |"]


@pytest.mark.parametrize(
    ("widths", "expected"),
    [([2], "| ab | xy |"), ([3, 4], "| abc | xyz  |")],
)
def test_asked_widths_are_kept(widths: list[int], expected: str) -> None:
    """One width is for all columns, several are for each."""
    lines = list(table.lines(("a", "b"), [("abcd", "xyz")], columns=widths))

    assert expected == lines[3]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.integers(60, 100))
def test_lines_are_of_equal_width_within_the_terminal_and_lose_nothing(
    rows: list[tuple[str, str]], width: int
) -> None:
    """Whatever the cells, the table is a rectangle that fits, and all its letters are there."""
    lines = list(table.lines(("first", "second"), rows, width=width))
    body = "".join(lines[3:-1])

    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= width
    for cell in (cell for row in rows for cell in row):
        for letter in set(cell) - {" ", "|"}:
            assert body.count(letter) >= cell.count(letter)
