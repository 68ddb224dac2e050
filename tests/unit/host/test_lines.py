"""What plugins print becomes bounded lines."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from whimbrel.host.lines import (
    KEPT_LINES,
    LINE_BYTES,
    LINES_PER_SECOND,
    LineSplitter,
    PluginLog,
)


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        """Return a fixed time."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """Return what the test set."""
        return self.seconds


@given(st.lists(st.binary(max_size=40)), st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], size: int) -> None:
    """The same bytes in other pieces are the same lines."""
    stream = b"\n".join(lines)
    whole: list[str] = []
    pieces: list[str] = []
    for data, found in ((len(stream) or 1, whole), (size, pieces)):
        splitter = LineSplitter(found.append)
        for start in range(0, len(stream), data):
            splitter.feed(stream[start : start + data])
        splitter.close()

    assert whole == pieces


def test_a_line_without_end_is_cut() -> None:
    """A plugin that never prints a line end fills no memory."""
    found: list[str] = []
    splitter = LineSplitter(found.append)

    splitter.feed(b"x" * (3 * LINE_BYTES + 5))
    splitter.close()

    assert [LINE_BYTES, LINE_BYTES, LINE_BYTES, 5] == [len(line) for line in found]


def test_bytes_that_are_no_text_are_shown_replaced() -> None:
    """A log line is text whatever was printed."""
    found: list[str] = []

    LineSplitter(found.append).feed(b"a\xff\r\n")

    assert ["a\ufffd"] == found


def test_a_flood_is_counted_and_its_end_kept() -> None:
    """Beyond the limit lines are dropped and counted, and the last ones stay for reports."""
    clock, passed = HandClock(), list[str]()
    log = PluginLog(clock, passed.append)
    for number in range(LINES_PER_SECOND + 50):
        log.add(str(number))

    clock.seconds += 1
    log.add("after")

    assert LINES_PER_SECOND + 2 == len(passed)
    assert [f"(50 lines dropped: over {LINES_PER_SECOND}/s)", "after"] == passed[-2:]
    assert KEPT_LINES == len(log.last_lines)
    assert "after" == log.last_lines[-1]
