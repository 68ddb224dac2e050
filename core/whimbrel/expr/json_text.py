"""JSON as templates see it: strict on the way in, with StackStorm's treatment of huge integers."""

import json
import re
from typing import Any, Never

import msgspec

from whimbrel.expr.errors import ExpressionError

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1

_LONG_NUMBER = re.compile(r"\d{19}")


def decode(text: str) -> Any:
    """Return the value of `text`; an integer beyond 64 bits becomes a float.

    Raises `ExpressionError` (`invalid_json`).
    """
    try:
        if _LONG_NUMBER.search(text) is None:
            return msgspec.json.decode(text)
        msgspec.json.decode(text)
        return json.loads(text, parse_int=_integer, parse_constant=_refuse)
    except (msgspec.DecodeError, ValueError, UnicodeError) as error:
        raise ExpressionError(str(error), category="invalid_json") from error


def _integer(digits: str) -> int | float:
    number = int(digits)
    return number if INTEGER_MIN <= number <= INTEGER_MAX else float(digits)


def _refuse(word: str) -> Never:
    raise ValueError(f"{word} is not JSON")
