"""The functions that StackStorm adds to Jinja, as filters."""

from whimbrel.expr.functions.formats import FORMATS
from whimbrel.expr.functions.query import QUERIES
from whimbrel.expr.functions.regex import REGEX
from whimbrel.expr.functions.spec import Example, FunctionSpec
from whimbrel.expr.functions.text import NONE_MARKER, TEXT
from whimbrel.expr.functions.version import VERSIONS

FUNCTIONS: tuple[FunctionSpec, ...] = (*FORMATS, *QUERIES, *REGEX, *TEXT, *VERSIONS)
"""All of them, in the order of their modules."""

__all__ = ["FUNCTIONS", "NONE_MARKER", "Example", "FunctionSpec"]
