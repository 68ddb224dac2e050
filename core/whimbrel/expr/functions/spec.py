"""How a function of expressions is described: once, for templates, tests and the reference."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


class Example(msgspec.Struct, frozen=True):
    """An expression with the text it prints, or the category of its error, given `context`."""

    expression: str
    prints: str = ""
    fails: str = ""
    context: Mapping[str, Any] = {}


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A function for templates. `call` gets the filtered value first, then the arguments."""

    name: str
    summary: str
    call: Callable[..., Any]
    examples: tuple[Example, ...]
