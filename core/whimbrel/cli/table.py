"""Tables of text, as wide as the terminal allows. Control characters are shown, never sent."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence

WORD_WIDTH_MAX = 24
TAB_COLUMNS = 4
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 10}

Paint = Callable[[str, str], str]


def lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int = 0,
    columns: Sequence[int] = (),
    paint: Paint | None = None,
) -> Iterator[str]:
    """Yield the lines of a bordered table.

    `width` is that of the terminal, 0 for no limit; `columns` are widths asked for, one for all or
    one each. `paint` gets a column's name and a padded piece of its text, and may colour it.
    """
    clean = [[_clean(cell) for cell in row] for row in rows]
    natural = [
        max(_columns(line) for cell in column for line in (cell.split("\n")))
        for column in zip(header, *clean, strict=True)
    ]
    words = [
        max(_columns(word) for cell in column for word in (cell.split() or [""]))
        for column in zip(header, *clean, strict=True)
    ]
    widths = _asked(natural, columns) if columns else _fitted(header, natural, words, width)
    rule = "+" + "+".join("-" * (size + 2) for size in widths) + "+"
    yield rule
    yield from _row(header, header, widths, None)
    yield rule
    for row in clean:
        yield from _row(header, row, widths, paint)
    if clean:
        yield rule


def note(text: str) -> Iterator[str]:
    """Yield a boxed line."""
    rule = f"+{'-' * (_columns(text) + 2)}+"
    yield from (rule, f"| {text} |", rule)


def _row(
    header: Sequence[str], row: Sequence[str], widths: Sequence[int], paint: Paint | None
) -> Iterator[str]:
    pieces = [
        [piece for line in cell.split("\n") for piece in _wrapped(line, size)]
        for cell, size in zip(row, widths, strict=True)
    ]
    for index in range(max(len(column) for column in pieces)):
        padded = []
        for name, column, size in zip(header, pieces, widths, strict=True):
            text = column[index] if index < len(column) else ""
            text += " " * (size - _columns(text))
            padded.append(paint(name, text) if paint else text)
        yield "| " + " | ".join(padded) + " |"


def _asked(natural: Sequence[int], columns: Sequence[int]) -> list[int]:
    if len(columns) == 1:
        return [min(size, max(1, columns[0])) for size in natural]
    given = {index: max(1, size) for index, size in enumerate(columns)}
    return [given.get(index, size) for index, size in enumerate(natural)]


def _fitted(
    header: Sequence[str], natural: Sequence[int], words: Sequence[int], width: int
) -> list[int]:
    """Return widths that fit: the widest columns give way first, an id never does.

    No column becomes narrower than its heading and the longest of its words (`words`); where that is
    too wide, the terminal wraps the lines.
    """
    room = width - 3 * len(natural) - 1
    sizes = list(natural)
    if not width:
        return sizes
    floors = [
        size if name == "id" else min(size, max(_columns(name), min(word, WORD_WIDTH_MAX)))
        for name, size, word in zip(header, natural, words, strict=True)
    ]
    for cap in range(max(natural), 0, -1):
        if sum(sizes) <= room:
            break
        sizes = [max(floor, min(size, cap)) for floor, size in zip(floors, natural, strict=True)]
    return sizes


def _wrapped(line: str, size: int) -> list[str]:
    """Return the line in pieces of at most `size` columns, broken at spaces where there are some."""
    pieces: list[str] = []
    rest = line
    while _columns(rest) > size:
        end = _prefix_length(rest, size)
        space = rest.rfind(" ", 0, end + 1)
        cut = space if space > len(rest) - len(rest.lstrip(" ")) else end
        pieces.append(rest[:cut])
        rest = rest[cut:].removeprefix(" ")
    return [*pieces, rest]


def _prefix_length(text: str, size: int) -> int:
    """Return how many characters fit into `size` columns, at least one."""
    if text.isascii():
        return max(1, size)
    used = 0
    for index, character in enumerate(text):
        used += _columns(character)
        if used > size:
            return max(1, index)
    return len(text)


def _columns(text: str) -> int:
    """Return the columns that a terminal needs for the text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").expandtabs(TAB_COLUMNS).translate(_VISIBLE)


__all__ = ["lines", "note"]
