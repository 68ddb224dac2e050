"""The one error of expressions, and how Python's own errors are named in it."""

import re

from jinja2 import TemplateAssertionError, TemplateRuntimeError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from whimbrel.errors import InvalidInput

LIMIT = "limit_exceeded"

_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (UndefinedError, "template_undefined"),
    (SecurityError, "template_security"),
    (TemplateAssertionError, "template_unknown_filter_or_test"),
    (TemplateSyntaxError, "template_syntax"),
    # Only a filter or test that is missing in a branch comes this late.
    (TemplateRuntimeError, "template_unknown_filter_or_test"),
    (re.error, "invalid_regex"),
    (ZeroDivisionError, "division_by_zero"),
    (OverflowError, "overflow"),
    (IndexError, "index_out_of_range"),
    (KeyError, "missing_key"),
    (AssertionError, "assertion"),
    (RecursionError, LIMIT),
    (MemoryError, LIMIT),
    (SyntaxError, "template_syntax"),
    (AttributeError, "type_error"),
    (TypeError, "type_error"),
    (ValueError, "value_error"),
)


class ExpressionError(InvalidInput):
    """An expression cannot be compiled or evaluated; `category` is a fixed word for programs.

    Categories: template_undefined, template_syntax, template_security,
    template_unknown_filter_or_test, template_no_loader, type_error, value_error, invalid_regex,
    invalid_json, invalid_yaml, invalid_jsonpath, division_by_zero, overflow, index_out_of_range,
    missing_key, assertion, decrypt_bad_signature, missing_file, limit_exceeded, internal_error.
    """

    def __init__(self, message: str, *, category: str, place: str = "") -> None:
        super().__init__(message, place=place)
        self.category = category


def category_of(error: Exception) -> str:
    """Return the category under which `error`, raised by an expression, is known to people."""
    if isinstance(error, ExpressionError):
        return error.category
    for kind, category in _BY_TYPE:
        if isinstance(error, kind):
            return category
    return "internal_error"


def as_expression_error(error: Exception) -> ExpressionError:
    """Return `error` as an `ExpressionError`; one that is already one stays itself."""
    if isinstance(error, ExpressionError):
        return error
    message = str(error) or type(error).__name__
    return ExpressionError(message, category=category_of(error))
