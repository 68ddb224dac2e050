"""Values against schemas in StackStorm's dialect of JSON Schema draft 4.

What differs from draft 4: `required` is a boolean of the property itself; `any` is a type; an optional
property may be null; defaults stand in for absent values before anything is checked; `secret`,
`immutable` and `position` are annotations.

The `jsonschema` library words every refusal. Because almost every value is fine, a schema is first made
into plain Python checks that recognise a good value at a fraction of the cost, and without the import;
what they do not recognise goes to the library. `tests/unit/broker/test_schema.py` holds both to the
same verdict.
"""

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from whimbrel import errors

Check = Callable[[Any], bool]


class SchemaViolation(errors.InvalidInput):
    """A value breaks its schema. `keyword` and `path` name the rule and the place of the first break."""

    category = "schema_validation"

    def __init__(self, message: str, *, keyword: str, path: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.keyword = keyword
        self.path = path


class InvalidSchema(errors.InvalidInput):
    """The schema itself cannot be used: an unknown type, a reference to nothing, a broken pattern."""

    category = "invalid_schema"


class Schema:
    """One schema, made ready on first use and used for many values."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    @functools.cached_property
    def _with_null(self) -> dict[str, Any]:
        return _null_allowed(self._document)

    @functools.cached_property
    def _recognise(self) -> Check:
        return _Compiler(self._with_null).check()

    @functools.cached_property
    def _validator(self) -> Any:
        return _validator_class()(self._with_null)

    def clean(self, value: Any) -> Any:
        """Return the value with defaults filled in; raises `SchemaViolation` or `InvalidSchema`.

        The value itself is not changed.
        """
        cleaned = _with_defaults(value, self._document)
        if self._recognise(cleaned):
            return cleaned
        return self._checked(cleaned)

    def clean_thoroughly(self, value: Any) -> Any:
        """Do what `clean` does, by the library alone."""
        return self._checked(_with_defaults(value, self._document))

    def _checked(self, value: Any) -> Any:
        from jsonschema.exceptions import UnknownType, best_match

        try:
            worst = best_match(self._validator.iter_errors(value))
        except UnknownType as error:
            raise InvalidSchema(f"Unknown type {error.type!r} in the schema") from error
        except (re.error, TypeError, AttributeError) as error:
            raise InvalidSchema(f"The schema cannot be used: {error}") from error
        if worst is None:
            return value
        raise SchemaViolation(
            worst.message, keyword=str(worst.validator), path=tuple(worst.absolute_path)
        )


# -- null and defaults ------------------------------------------------------------------------------


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
    if spec.get("default") is not None or (spec.get("required") and "default" not in spec):
        return changed
    for combined in ("anyOf", "oneOf"):
        if isinstance(spec.get(combined), list):
            if {"type": "null"} not in spec[combined]:
                changed[combined] = [*spec[combined], {"type": "null"}]
            return changed
    if "$ref" in spec:
        return changed
    kinds = spec.get("type", "string")
    if isinstance(kinds, str) and kinds not in ("any", "null"):
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
        if isinstance(nested, dict) and nested.get("properties") and filled.get(name) is not None:
            filled[name] = _with_defaults(filled[name], nested)
    return filled


# -- recognising good values ------------------------------------------------------------------------


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PLAIN_TYPES: Mapping[str, Check] = {
    "any": lambda _: True,
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "null": lambda value: value is None,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}

ANYTHING: Mapping[str, Any] = {"anyOf": [{"type": name} for name in PLAIN_TYPES if name != "any"]}
"""Allows every value. An optional property with no type at all only takes text."""

ANNOTATIONS = frozenset(
    {"$schema", "default", "definitions", "description", "id", "immutable", "position", "title"}
    | {"required", "secret", "additionalProperties", "patternProperties"}
)
"""Keywords that are no rule of their own; the last two are taken together with `properties`."""


def _never(_: Any) -> bool:
    """Stands for what only the library understands: never recognised as good, so it decides."""
    return False


class _Compiler:
    """Makes a schema into one check that is only true for values which surely meet it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._references: dict[str, Check] = {}

    def check(self) -> Check:
        """Return the check."""
        return self._schema(self._document)

    def _schema(self, spec: Any) -> Check:
        if not isinstance(spec, dict):
            return _never
        if "$ref" in spec:
            return self._reference(spec["$ref"])
        checks = [self._keyword(k, v) for k, v in spec.items() if k not in ANNOTATIONS]
        if not spec.keys().isdisjoint(("additionalProperties", "patternProperties")):
            checks.append(self._members(spec))
        if len(checks) == 1:
            return checks[0]
        return lambda value: all(check(value) for check in checks)

    def _keyword(self, keyword: str, argument: Any) -> Check:
        match keyword, argument:
            case "type", str() if argument in PLAIN_TYPES:
                return PLAIN_TYPES[argument]
            case "type", list() if all(isinstance(k, str) and k in PLAIN_TYPES for k in argument):
                kinds = [PLAIN_TYPES[kind] for kind in argument]
                return lambda value: any(kind(value) for kind in kinds)
            case "properties", dict():
                return self._properties(argument)
            case "items", dict():
                item = self._schema(argument)
                return lambda value: not isinstance(value, list) or all(map(item, value))
            case "enum", list():
                texts = {choice for choice in argument if isinstance(choice, str)}
                return lambda value: isinstance(value, str) and value in texts
            case "pattern", str():
                return _searching(argument)
            case "anyOf", list():
                choices = [self._schema(choice) for choice in argument]
                return lambda value: any(choice(value) for choice in choices)
            case (("minimum" | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems"), _):
                return _bound(keyword, argument)
            case "uniqueItems", True:
                return _all_different
            case "dependencies", dict():
                return _dependencies(argument)
            case _:
                return _never

    def _properties(self, properties: Mapping[str, Any]) -> Check:
        checks = {name: self._schema(spec) for name, spec in properties.items()}
        required = [
            name
            for name, spec in properties.items()
            if isinstance(spec, dict) and spec.get("required")
        ]

        def good(value: Any) -> bool:
            if not isinstance(value, dict):
                return True
            for name, check in checks.items():
                if name in value and not check(value[name]):
                    return False
            return all(name in value for name in required)

        return good

    def _members(self, spec: Mapping[str, Any]) -> Check:
        """Check members by `patternProperties` and `additionalProperties`."""
        known = spec.get("properties", {})
        patterns = [
            (_searching(pattern), self._schema(member))
            for pattern, member in spec.get("patternProperties", {}).items()
        ]
        additional = spec.get("additionalProperties", True)
        other = PLAIN_TYPES["any"] if additional is True else _never
        if not isinstance(additional, bool):
            other = self._schema(additional)

        def good(value: Any) -> bool:
            if not isinstance(value, dict):
                return True
            for name, member in value.items():
                fitting = [check for search, check in patterns if search(name)]
                if not all(check(member) for check in fitting):
                    return False
                if not fitting and name not in known and not other(member):
                    return False
            return True

        return good

    def _reference(self, reference: Any) -> Check:
        name = str(reference).removeprefix("#/definitions/")
        target = self._document.get("definitions", {}).get(name)
        if target is None:
            return _never
        if name not in self._references:
            self._references[name] = _never
            self._references[name] = self._schema(target)

        def good(value: Any) -> bool:
            return self._references[name](value)

        return good


def _searching(pattern: str) -> Check:
    """Return a check that text has a match of the pattern somewhere; other values have one too."""
    try:
        search = re.compile(pattern).search
    except re.error:
        return _never
    return lambda value: not isinstance(value, str) or search(value) is not None


def _all_different(value: Any) -> bool:
    if not isinstance(value, list):
        return True
    return all(isinstance(item, str) for item in value) and len(set(value)) == len(value)


def _dependencies(needs: Mapping[str, Any]) -> Check:
    if not all(isinstance(needed, list) for needed in needs.values()):
        return _never

    def good(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        return all(n in value for name, needed in needs.items() if name in value for n in needed)

    return good


def _bound(keyword: str, limit: Any) -> Check:
    if not _is_number(limit):
        return _never
    measured = {"Length": str, "Items": list}.get(keyword[3:])
    least = keyword.startswith("min")

    def good(value: Any) -> bool:
        if measured is None:
            size = value
            if not _is_number(value):
                return True
        elif isinstance(value, measured):
            size = len(value)
        else:
            return True
        return bool(size >= limit if least else size <= limit)

    return good


# -- the library, taught the dialect ----------------------------------------------------------------


def _properties(validator: Any, properties: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """The keyword `properties`, with a boolean `required` inside each property."""
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
