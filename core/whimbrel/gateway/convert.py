"""Bodies into values, values into documents."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from whimbrel.errors import InvalidInput

T = TypeVar("T")


def into(kind: type[T], body: Any) -> T:
    """Return the body as a value of the type; an empty or `null` body is `{}`.

    Raises `InvalidInput` with the place (`$.parameters.x`), what was found and what is allowed.
    """
    try:
        return msgspec.convert(_object(body), kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error


def _object(body: Any) -> Any:
    return {} if body is None else body


def mapping(body: Any) -> dict[str, Any]:
    """Return the body, which has to be a JSON object. Raises `InvalidInput`."""
    found = _object(body)
    if not isinstance(found, dict):
        raise InvalidInput(f"the body has to be a JSON object, got {_name(found)}")
    return found


def _name(value: Any) -> str:
    names: Mapping[type, str] = {list: "an array", str: "text", bool: "a boolean"}
    return names.get(type(value), "a number")
