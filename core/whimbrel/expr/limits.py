"""What one template may cost. Every limit is checked before the memory or time is spent."""

import msgspec

from whimbrel.expr.errors import LIMIT, ExpressionError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a template engine; a template that crosses one fails with `limit_exceeded`.

    `template_chars`, `template_tags` and `expression_chars` bound the source text, its marks `{{`
    and `{%`, and all that stands between marks;
    `steps` the loop rounds and macro calls of one rendering (a `range` costs one per 16 numbers);
    `output_chars` everything one rendering prints, macros and captured blocks included;
    `range_size` the numbers of one `range`;
    `value_size` the characters, elements or bits of one computed value;
    `cached_templates` how many compiled texts are kept, the least recently used leaving first.
    """

    template_chars: int = 262_144
    template_tags: int = 4_096
    expression_chars: int = 32_768
    steps: int = 125_000
    range_size: int = 100_000
    output_chars: int = 16_777_216
    value_size: int = 8_388_608
    cached_templates: int = 4_096


DEFAULT_LIMITS = Limits()


def exceeded(limit: str, value: int, maximum: int) -> ExpressionError:
    """Return the error that names the limit, its maximum and the value that crossed it."""
    return ExpressionError(f"{limit} is limited to {maximum}, got {value}", category=LIMIT)


class Budget:
    """What is left for one rendering."""

    __slots__ = ("_limits", "_output", "_steps")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps = 0
        self._output = 0

    @property
    def steps_left(self) -> int:
        """How many steps can still be taken."""
        return self._limits.steps - self._steps

    def step(self, count: int, chars: int) -> None:
        """Take `count` steps that print `chars` characters of literal text."""
        self._steps += count
        if self._steps > self._limits.steps:
            raise exceeded("template steps", self._steps, self._limits.steps)
        if chars:
            self.printed(chars)

    def printed(self, chars: int) -> None:
        """Take `chars` characters of output."""
        self._output += chars
        if self._output > self._limits.output_chars:
            raise exceeded("template output characters", self._output, self._limits.output_chars)
