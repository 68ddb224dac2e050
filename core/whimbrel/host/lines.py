"""What a plugin prints, as lines: cut where too long, the last ones kept, floods thinned out."""

from collections import deque
from collections.abc import Callable

from whimbrel import seams

LINE_BYTES = 8 * 1024
"""A longer line is cut here, and so is its rest."""

KEPT_LINES = 40
LINES_PER_SECOND = 200
"""Beyond this, lines are counted and not passed on."""

OnLine = Callable[[str], None]


class LineSplitter:
    """Turns pieces of a byte stream into lines, without their ends; bad UTF-8 is replaced."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._cut(line)
        while len(self._rest) > LINE_BYTES:
            head, self._rest = self._rest[:LINE_BYTES], self._rest[LINE_BYTES:]
            self._on_line(head.decode(errors="replace"))

    def close(self) -> None:
        """Take the last line, which has no end."""
        if self._rest:
            self._cut(self._rest)
            self._rest = b""

    def _cut(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), LINE_BYTES):
            self._on_line(line[start : start + LINE_BYTES].rstrip(b"\r").decode(errors="replace"))


class PluginLog:
    """The lines of one plugin process: `last_lines` for reports, the rest to `on_line`."""

    def __init__(self, clock: seams.Clock, on_line: OnLine) -> None:
        self._clock = clock
        self._on_line = on_line
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._second = 0.0
        self._passed = 0
        self._dropped = 0

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines printed, oldest first."""
        return tuple(self._kept)

    def add(self, line: str) -> None:
        """Keep the line, and pass it on unless the plugin floods."""
        self._kept.append(line)
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            if self._dropped:
                self._on_line(f"({self._dropped} lines dropped: over {LINES_PER_SECOND}/s)")
            self._second, self._passed, self._dropped = now, 0, 0
        if self._passed < LINES_PER_SECOND:
            self._passed += 1
            self._on_line(line)
        else:
            self._dropped += 1
