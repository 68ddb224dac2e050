"""Checks that a computed value stays under `value_size`, made before it is computed."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2.filters import FILTERS

from whimbrel.expr.limits import Limits, exceeded

_NUMBER = re.compile(r"\d+")
_NESTED_SPEC = re.compile(r"\{[^{}]*\{")


def check(limits: Limits, size: int) -> None:
    """Raise `limit_exceeded` when `size` is over `value_size`."""
    if size > limits.value_size:
        raise exceeded("the size of a template's value", size, limits.value_size)


def check_operation(limits: Limits, operator: str, left: Any, right: Any) -> None:
    """Check the result of `left operator right`, for the operators + * ** %."""
    if operator == "+":
        if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            check(limits, len(left) + len(right))
    elif operator == "*":
        check(limits, _product_size(left, right))
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int) and right > 0:
            check(limits, left.bit_length() * right)
    elif isinstance(left, str):
        check_percent_format(limits, left, right)


def _product_size(left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length()
    if isinstance(left, int):
        left, right = right, left
    if isinstance(right, int) and isinstance(left, str | bytes | list | tuple):
        return len(left) * max(right, 0)
    return 0


def check_percent_format(limits: Limits, text: str, values: Any) -> None:
    """Check the widths and precisions of a `%` format."""
    _check_numbers(limits, text)
    if "*" in text:
        _check_integers(limits, values if isinstance(values, tuple) else (values,))


def check_method(limits: Limits, owner: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Check a call of a method of text or of a list; return the arguments to call it with."""
    if isinstance(owner, list):
        if name == "extend" and args:
            args = (list(args[0]), *args[1:])
            check(limits, len(owner) + len(args[0]))
    elif name in ("center", "ljust", "rjust", "zfill"):
        _check_integers(limits, (*args, *kwargs.values()))
    elif name == "expandtabs":
        tab = next(iter((*args, *kwargs.values())), 8)
        check(limits, len(owner) + owner.count("\t") * abs(tab))
    elif name == "replace" and len(args) > 1:
        _check_replace(limits, owner, args[0], args[1])
    elif name == "join" and args:
        args = (list(args[0]), *args[1:])
        _check_join(limits, owner, args[0])
    elif name == "translate" and args:
        _check_translate(limits, owner, args[0])
    elif name in ("format", "format_map"):
        _check_numbers(limits, owner)
        if _NESTED_SPEC.search(owner):
            _check_integers(limits, (*args, *kwargs.values()))
    return tuple(args)


def _check_numbers(limits: Limits, text: str) -> None:
    for number in _NUMBER.finditer(text):
        # Eight digits are over any sensible width; int() of thousands is itself an error.
        check(limits, int(number[0][:18]))


def _check_integers(limits: Limits, values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, int):
            check(limits, value)
        elif isinstance(value, Mapping):
            _check_integers(limits, value.values())


def _check_replace(limits: Limits, text: str, old: Any, new: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        check(limits, len(text) + text.count(old) * len(new))


def _check_join(limits: Limits, separator: str, parts: list[Any]) -> None:
    texts = sum(len(part) for part in parts if isinstance(part, str))
    check(limits, len(separator) * len(parts) + texts)


def _check_translate(limits: Limits, text: str, table: Any) -> None:
    values = table.values() if isinstance(table, Mapping) else ()
    longest = max((len(value) for value in values if isinstance(value, str)), default=1)
    check(limits, len(text) * longest)


def bounded_filters(limits: Limits) -> dict[str, Callable[..., Any]]:
    """Return Jinja's filters that can blow up a value, each with its check before it."""
    checks: dict[str, Callable[..., None]] = {
        "batch": _check_counts,
        "center": _check_counts,
        "format": lambda limits, text, *args, **_: check_percent_format(limits, str(text), args),
        "indent": _check_indent,
        "join": _check_join_filter,
        "replace": lambda limits, text, old, new, *_, **__: _check_replace(
            limits, str(text), old, new
        ),
        "slice": _check_counts,
        "tojson": _check_counts,
        "urlize": _check_texts,
        "wordwrap": _check_texts,
    }
    return {name: bounded(limits, FILTERS[name], test) for name, test in checks.items()}


def bounded(
    limits: Limits, function: Callable[..., Any], test: Callable[..., None]
) -> Callable[..., Any]:
    """Return `function` with `test(limits, *arguments)` before it."""
    # Such a function gets Jinja's context, or a part of it, before the filtered value.
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        test(limits, *args[skipped:], **kwargs)
        return function(*args, **kwargs)

    return checked


def _check_counts(limits: Limits, _: object, *args: object, **kwargs: object) -> None:
    _check_integers(limits, (*args, *kwargs.values()))


def _check_indent(limits: Limits, text: object, *args: object, **kwargs: object) -> None:
    for width in (*args, *kwargs.values()):
        size = len(width) if isinstance(width, str) else width
        if isinstance(size, int):
            check(limits, str(text).count("\n") * size + size)


def _check_texts(limits: Limits, text: object, *args: object, **kwargs: object) -> None:
    longest = max((len(a) for a in (*args, *kwargs.values()) if isinstance(a, str)), default=0)
    check(limits, len(str(text)) * (longest or 1))


def _check_join_filter(limits: Limits, parts: Any, d: object = "", *_: Any, **__: Any) -> None:
    # A generator has no length yet; what feeds it is bounded itself.
    count = len(parts) if hasattr(parts, "__len__") else limits.range_size
    check(limits, count * len(str(d)))


def check_regex_replace(
    limits: Limits, value: object, pattern: str, replacement: str = "", *_: Any, **__: Any
) -> None:
    """Check the worst case of `regex_replace`: a match at every character."""
    if len(replacement) > 1:
        matches = sum(1 for _ in re.finditer(pattern, str(value)))
        check(limits, len(str(value)) + matches * len(replacement))
