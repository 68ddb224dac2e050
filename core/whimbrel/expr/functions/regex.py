"""Functions with Python's regular expressions.

The time of a match is the pattern's: a pattern that backtracks without end is not stopped.
"""

import re
from typing import Any

from whimbrel.expr.functions.spec import Example, FunctionSpec


def regex_match(value: object, pattern: str, ignorecase: bool = False) -> bool:
    """Say whether the text begins with a match."""
    return re.match(pattern, str(value), _flags(ignorecase)) is not None


def regex_search(value: object, pattern: str, ignorecase: bool = False) -> bool:
    """Say whether a match stands anywhere in the text."""
    return re.search(pattern, str(value), _flags(ignorecase)) is not None


def regex_replace(value: object, pattern: str, replacement: str, ignorecase: bool = False) -> str:
    r"""Return the text with every match replaced; `\1` and `\g<name>` name groups."""
    return re.sub(pattern, replacement, str(value), flags=_flags(ignorecase))


def regex_substring(
    value: object, pattern: str, result_index: int = 0, ignorecase: bool = False
) -> Any:
    """Return the match at `result_index`, as its group or tuple of groups when it has some."""
    return re.findall(pattern, str(value), _flags(ignorecase))[result_index]


def _flags(ignorecase: bool) -> re.RegexFlag:
    return re.IGNORECASE if ignorecase else re.NOFLAG


REGEX = (
    FunctionSpec(
        name="regex_match",
        summary="Whether text begins with a match: `regex_match(pattern, ignorecase)`.",
        call=regex_match,
        examples=(
            Example("{{ 'whimbrel' | regex_match('WHI', ignorecase=true) }}", "True"),
            Example("{{ 'whimbrel' | regex_match('brel') }}", "False"),
            Example("{{ 'whimbrel' | regex_match('(') }}", fails="invalid_regex"),
        ),
    ),
    FunctionSpec(
        name="regex_search",
        summary="Whether a match stands anywhere in text: `regex_search(pattern, ignorecase)`.",
        call=regex_search,
        examples=(Example("{{ 'whimbrel' | regex_search('brel$') }}", "True"),),
    ),
    FunctionSpec(
        name="regex_replace",
        summary="Replace every match: `regex_replace(pattern, replacement, ignorecase)`.",
        call=regex_replace,
        examples=(
            Example(r"{{ 'a-b' | regex_replace('(\\w)-(\\w)', '\\2-\\1') }}", "b-a"),
            Example("{{ 'Aa' | regex_replace('A', '', true) }}", ""),
        ),
    ),
    FunctionSpec(
        name="regex_substring",
        summary="The match at an index: `regex_substring(pattern, result_index, ignorecase)`.",
        call=regex_substring,
        examples=(
            Example(r"{{ 'a1b22' | regex_substring('\\d+', 1) }}", "22"),
            Example("{{ 'abc' | regex_substring('x') }}", fails="index_out_of_range"),
        ),
    ),
)
