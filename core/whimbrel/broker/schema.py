"""Values against schemas in StackStorm's dialect of JSON Schema draft 4.

What differs from draft 4: `required` is a boolean of the property itself; `any` is a type; an optional
property may be null; defaults stand in for absent values before anything is checked; `secret`,
`immutable` and `position` are annotations. The `jsonschema` library gives every refusal; a plan made
of plain type checks answers first, because almost every call is fine and has flat parameters.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from whimbrel import errors

ANNOTATIONS = frozenset(
    {
        "type",
        "description",
        "default",
        "required",
        "secret",
        "immutable",
        "position",
        "title",
        "$schema",
    }
)


class SchemaViolation(errors.InvalidInput):
    """A value breaks its schema. `keyword` and `path` name the rule and the place of the first break."""

    def __init__(self, message: str, *, keyword: str, path: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.keyword = keyword
        self.path = path


class InvalidSchema(errors.InvalidInput):
    """The schema itself cannot be used; `path` is where it is wrong."""

    def __init__(self, message: str, *, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PLAIN_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "null": lambda value: value is None,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


class Schema:
    """One schema, made ready once and used for many values."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._plan = _flat_plan(document)
        self._validator: Any = None

    def clean(self, value: Any) -> Any:
        """Return the value with defaults filled in; raises `SchemaViolation`."""
        if self._plan is not None and isinstance(value, dict):
            cleaned = self._plan.clean(value)
            if cleaned is not None:
                return cleaned
        return self.clean_thoroughly(value)

    def clean_thoroughly(self, value: Any) -> Any:
        """Do what `clean` does by the `jsonschema` library alone."""
        from jsonschema.exceptions import UnknownType, best_match

        validator = self._compiled()
        cleaned = _with_defaults(value, self._document)
        try:
            worst = best_match(validator.iter_errors(cleaned))
        except UnknownType as error:
            raise InvalidSchema(f"Unknown type {error.type!r} in the schema") from error
        if worst is None:
            return cleaned
        raise SchemaViolation(
            worst.message, keyword=str(worst.validator), path=tuple(worst.absolute_path)
        )

    def _compiled(self) -> Any:
        if self._validator is None:
            self._validator = _validator_class()(_null_allowed(self._document))
        return self._validator


class _Plan:
    """Type checks for an object whose properties have nothing but a plain type."""

    def __init__(self, properties: Mapping[str, Mapping[str, Any]], *, additional: bool) -> None:
        self._checks = {name: _property_check(spec) for name, spec in properties.items()}
        self._required = [
            n for n, s in properties.items() if s.get("required") and "default" not in s
        ]
        self._defaults = {n: s["default"] for n, s in properties.items() if "default" in s}
        self._additional = additional
        self.usable = all(self._checks[n](d) for n, d in self._defaults.items())

    def clean(self, value: dict[str, Any]) -> dict[str, Any] | None:
        """Return the value with defaults; None when the thorough way has to decide."""
        for name, item in value.items():
            check = self._checks.get(name)
            if check is None:
                if not self._additional:
                    return None
            elif not check(item) and (item is not None or name not in self._defaults):
                return None
        if any(name not in value for name in self._required):
            return None
        missing = {
            name: copy.deepcopy(default)
            for name, default in self._defaults.items()
            if value.get(name) is None
        }
        return {**value, **missing}


def _property_check(spec: Mapping[str, Any]) -> Callable[[Any], bool]:
    plain = PLAIN_TYPES[spec.get("type", "any")]
    if _may_be_null(spec):
        return lambda value: value is None or plain(value)
    return plain


def _flat_plan(document: Mapping[str, Any]) -> _Plan | None:
    if document.keys() - {"type", "properties", "additionalProperties"}:
        return None
    properties = document.get("properties")
    additional = document.get("additionalProperties", True)
    if (
        document.get("type") != "object"
        or not isinstance(properties, dict)
        or not isinstance(additional, bool)
    ):
        return None
    if not all(_is_flat(spec) for spec in properties.values()):
        return None
    plan = _Plan(properties, additional=additional)
    return plan if plan.usable else None


def _is_flat(spec: Any) -> bool:
    return (
        isinstance(spec, dict)
        and not spec.keys() - ANNOTATIONS
        and isinstance(spec.get("type", "any"), str)
        and spec.get("type", "any") in PLAIN_TYPES
        and isinstance(spec.get("required", False), bool)
    )


def _may_be_null(spec: Mapping[str, Any]) -> bool:
    return spec.get("default") is None and (not spec.get("required") or "default" in spec)


def _null_allowed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with null as one more type of every property that may be left out."""
    changed = dict(document)
    properties = document.get("properties")
    if isinstance(properties, dict):
        changed["properties"] = {
            name: _null_allowed_property(spec) if isinstance(spec, dict) else spec
            for name, spec in properties.items()
        }
    return changed


def _null_allowed_property(spec: Mapping[str, Any]) -> dict[str, Any]:
    changed = _null_allowed(spec) if spec.get("type") == "object" else dict(spec)
    if not _may_be_null(spec):
        return changed
    for combined in ("anyOf", "oneOf"):
        if isinstance(spec.get(combined), list) and "type" not in spec:
            if {"type": "null"} not in spec[combined]:
                changed[combined] = [*spec[combined], {"type": "null"}]
            return changed
    kinds = spec.get("type")
    if isinstance(kinds, str) and kinds != "null":
        changed["type"] = [kinds, "null"]
    elif isinstance(kinds, list) and "null" not in kinds:
        changed["type"] = [*kinds, "null"]
    return changed


def _with_defaults(value: Any, document: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_defaults(item, document) for item in value]
    properties = document.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    filled = dict(value)
    for name, spec in properties.items():
        if not isinstance(spec, dict):
            continue
        if "default" in spec and filled.get(name) is None:
            filled[name] = copy.deepcopy(spec["default"])
        nested = spec.get("items") if spec.get("type") == "array" else spec
        if filled.get(name) is not None and isinstance(nested, dict) and nested.get("properties"):
            filled[name] = _with_defaults(filled[name], nested)
    return filled


def _properties(validator: Any, properties: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """The keyword `properties` with draft 3's boolean `required` inside each property."""
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object"):
        return
    for name, spec in properties.items():
        if name in instance:
            yield from validator.descend(instance[name], spec, path=name, schema_path=name)
        elif isinstance(spec, dict) and spec.get("required"):
            yield ValidationError(
                f"{name!r} is a required property", validator="required", path=[name]
            )


def _nothing(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[Any]:
    """A keyword that is no rule here."""
    yield from ()


@functools.cache
def _validator_class() -> Any:
    """Return the dialect's validator; `jsonschema` costs 100 ms to import, so nobody pays at start."""
    from jsonschema import Draft3Validator, Draft4Validator
    from jsonschema.validators import extend

    keywords: Any = {"properties": _properties, "required": _nothing}
    return extend(  # type: ignore[no-untyped-call]  # its stub has no annotation
        Draft4Validator, validators=keywords, type_checker=Draft3Validator.TYPE_CHECKER
    )
