"""The parameters of an execution: templates resolved in dependency order, cast, checked, split.

Two steps, as StackStorm takes them. `live` is done when an execution is requested: templates in given
values (and in text defaults) are resolved, the result is cast and checked against the merged schema of
runner and action. `final` is done when it runs: given values stand as they are, defaults are added, and
every declared name has a value.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from whimbrel import errors, nesting
from whimbrel.broker.documents import check_overrides
from whimbrel.broker.schema import ANYTHING, Schema, SchemaViolation
from whimbrel.expr import NONE_MARKER, ExpressionError, decode_json
from whimbrel.model import Action, RunnerType

Schemas = Mapping[str, Mapping[str, Any]]

LONE_NAME = re.compile(r"\{\{([A-z0-9_-]+)\}\}")
"""Inside a list or object, exactly this keeps the type of what it names."""

SCHEMA_CACHE_LIMIT = 4096


class ParameterError(errors.InvalidInput):
    """The parameters cannot be resolved. `category` is one word for programs, `parameter` the culprit.

    Categories: `missing_dependency`, `cyclic_dependency`, `param_render_failed`, `cast_failed`,
    `immutable_override`.
    """

    def __init__(self, message: str, *, category: str, parameter: str = "") -> None:
        super().__init__(message)
        self.category = category
        self.parameter = parameter


class Templates(Protocol):
    """What parameters need of the expression engine."""

    def render(self, text: str, context: Mapping[str, Any]) -> str:
        """Return the text with its templates resolved; raises `InvalidInput` when that fails."""
        ...

    def names(self, text: str) -> frozenset[str]:
        """Return the names that the template takes from its context; raises for broken syntax."""
        ...


Contexts = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Gives the names beside the parameters (`st2kv`, `config_context`) for an action context.

Called for every execution, so it hands out objects that look things up when a template uses them.
"""


class Resolved(msgspec.Struct, frozen=True):
    """Complete parameters, those of the runner apart from the action's own."""

    runner: dict[str, Any]
    action: dict[str, Any]


def datastore_user(action_context: Mapping[str, Any], system_user: str) -> str:
    """Return whose items `st2kv.user` names: the chat user where there is one, else the user."""
    user = action_context.get("user")
    return str(action_context.get("api_user", user) or system_user)


def is_template(value: Any) -> bool:
    """Whether the text has the marks of a template."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(_has_template(k) or _has_template(v) for k, v in value.items())
    return isinstance(value, list) and any(_has_template(item) for item in value)


# -- templates in dependency order ------------------------------------------------------------------


class _Graph:
    """Parameter names with their values or templates, resolved one after the other on demand."""

    def __init__(self, templates: Templates, contexts: Mapping[str, Any]) -> None:
        self._templates = templates
        self._contexts = contexts
        self._values: dict[str, Any] = {}
        self._unresolved: dict[str, tuple[Any, frozenset[str]]] = {}

    def add_value(self, name: str, value: Any) -> None:
        """Set a name to a value that stands as it is; a template of that name still wins."""
        self._values[name] = value

    def add(self, name: str, value: Any) -> None:
        """Set a name to a value that may be, or hold, templates."""
        needed = self._names(name, value) if _has_template(value) else None
        if needed is None:
            self.add_value(name, value)
        elif name in self._unresolved:
            self._unresolved[name] = (value, needed | self._unresolved[name][1])
        else:
            self._unresolved[name] = (value, needed)

    def _names(self, name: str, value: Any) -> frozenset[str] | None:
        """Return what the templates in a value need; None for broken syntax, which stays text."""
        found: set[str] = set()
        for text in _texts(value):
            if not is_template(text):
                continue
            try:
                found |= self._templates.names(text)
            except ExpressionError as error:
                if error.category == "template_syntax":
                    return None
                raise _render_failed(name, error) from error
        return frozenset(found)

    def add_defaults(self, schemas: Schemas) -> None:
        """Let the default stand for a name that has no value, and for every immutable one.

        As in StackStorm a template counts as no value here. So a given template gives way to a default
        that is a template too, and wins over any other default.
        """
        for name, spec in schemas.items():
            if spec.get("immutable") or self._value_or_none(name) is None:
                self.add(name, spec.get("default"))

    def _value_or_none(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        return self._contexts.get(name)

    def resolve(self) -> dict[str, Any]:
        """Return every name of the graph with its value."""
        if self._unresolved:
            self._check_names()
            self._check_cycles()
            for name in list(self._unresolved):
                self._resolve(name)
        return self._values

    def _check_names(self) -> None:
        for _, needed in self._unresolved.values():
            for name in sorted(needed):
                if not self._has(name):
                    raise ParameterError(
                        f'Dependency unsatisfied in variable "{name}"',
                        category="missing_dependency",
                        parameter=name,
                    )

    def _has(self, name: str) -> bool:
        return name in self._values or name in self._unresolved or name in self._contexts

    def _check_cycles(self) -> None:
        waiting = {
            name: {n for n in needed if n in self._unresolved}
            for name, (_, needed) in self._unresolved.items()
        }
        while ready := [name for name, needed in waiting.items() if not needed]:
            for name in ready:
                del waiting[name]
            for needed in waiting.values():
                needed.difference_update(ready)
        if waiting:
            raise ParameterError(
                "Cyclic dependency found in the following variables: "
                f"{', '.join(sorted(waiting))}. Likely the variable is referencing itself",
                category="cyclic_dependency",
                parameter=min(waiting),
            )

    def _resolve(self, name: str) -> None:
        if name not in self._unresolved:
            return
        value, needed = self._unresolved.pop(name)
        for other in needed:
            self._resolve(other)
        names = {n: self._values[n] if n in self._values else self._contexts[n] for n in needed}
        try:
            self._values[name] = self._rendered(value, names)
        except errors.InvalidInput as error:
            raise _render_failed(name, error) from error

    def _rendered(self, value: Any, names: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            return self._templates.render(value, names)
        return self._rendered_inside(value, names)

    def _rendered_inside(self, value: Any, names: Mapping[str, Any]) -> Any:
        if isinstance(value, dict):
            return {
                self._templates.render(key, names): self._rendered_inside(item, names)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._rendered_inside(item, names) for item in value]
        if not is_template(value):
            return value
        if lone := LONE_NAME.fullmatch(value):
            return decode_json(self._templates.render(f"{{{{{lone[1]} | to_complex}}}}", names))
        rendered = self._templates.render(value, names)
        return f"{rendered}\n" if value.endswith("\n") else rendered


def _render_failed(name: str, error: Exception) -> ParameterError:
    return ParameterError(
        f'Failed to render parameter "{name}": {error}',
        category="param_render_failed",
        parameter=name,
    )


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


# -- casts ------------------------------------------------------------------------------------------


def _as_text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(
        f'Value "{value}" must either be a string or None. Got "{type(value).__name__}".'
    )


def _as_literal(value: Any) -> Any:
    """Read text as JSON, or else as a Python literal; other values stand as they are."""
    if not isinstance(value, str):
        return value
    try:
        literal = json.loads(value)
    except ValueError:
        literal = _plain(ast.literal_eval(value))
    if nesting.is_too_deep(literal):
        raise ValueError(f"nests deeper than {nesting.DEPTH_MAX} levels")
    return literal


def _as_boolean(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return _plain(ast.literal_eval(value.capitalize()))


def _plain(value: Any) -> Any:
    """Return a Python literal as JSON data: tuples become lists, sets and bytes are refused."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{value!r} is not JSON data")


CASTS: Mapping[str, Callable[[Any], Any]] = {
    "array": _as_literal,
    "boolean": _as_boolean,
    "integer": int,
    "number": float,
    "object": _as_literal,
    "string": _as_text,
}


def cast(value: Any, spec: Mapping[str, Any], *, name: str = "") -> Any:
    """Return the value as the type that its schema declares; raises `ParameterError`.

    Text for a boolean, list or object is read as a literal, whatever type comes out: the schema check
    decides on that. None stays None. The mark of `use_none` becomes None, which is no number.
    """
    kind = spec.get("type")
    if value is None or not isinstance(kind, str) or kind not in CASTS:
        return value
    try:
        return CASTS[kind](None if value == NONE_MARKER else value)
    except (
        ValueError,
        TypeError,
        SyntaxError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ParameterError(
            str(error) or f"{value!r} is not a {kind}", category="cast_failed", parameter=name
        ) from error


# -- the two steps ----------------------------------------------------------------------------------


def merged_schemas(runner: Schemas, action: Schemas, *, ref: str = "") -> dict[str, dict[str, Any]]:
    """Return the parameters of runner and action together, as a caller may give them.

    Raises `DocumentError` when the action says something about a runner's parameter that it may not.
    """
    check_overrides(action, runner, ref=ref)
    merged = {name: dict(spec) for name, spec in runner.items()}
    for name, spec in action.items():
        merged[name] = {**merged.get(name, {}), **spec}
    return merged


def resolve_live(
    templates: Templates,
    runner: Schemas,
    action: Schemas,
    given: Mapping[str, Any],
    contexts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the given parameters with templates resolved and cast, and template defaults with them."""
    graph = _Graph(templates, contexts)
    for name, value in given.items():
        graph.add(name, value)
    graph.add_defaults(action)
    graph.add_defaults(runner)
    values = graph.resolve()
    live = {name: cast(values[name], _spec(name, action, runner), name=name) for name in given}
    for schemas in (action, runner):
        for name, spec in schemas.items():
            default = spec.get("default")
            if name in given or spec.get("immutable") or not is_template(default):
                continue
            if name in values and values[name] != default:
                live[name] = cast(values[name], spec, name=name)
    return live


def resolve_final(
    templates: Templates,
    runner: Schemas,
    action: Schemas,
    given: Mapping[str, Any],
    contexts: Mapping[str, Any],
) -> Resolved:
    """Return every declared parameter with its value: given, else its default, else None."""
    graph = _Graph(templates, contexts)
    for name, value in given.items():
        graph.add_value(name, value)
    graph.add_defaults(action)
    graph.add_defaults(runner)
    values = graph.resolve()
    split = Resolved({}, {})
    for name in {**runner, **action}:
        value = values[name] if name in values else contexts[name]
        side = split.runner if name in runner else split.action
        side[name] = cast(value, _spec(name, action, runner), name=name)
    return split


def _spec(name: str, action: Schemas, runner: Schemas) -> Mapping[str, Any]:
    return runner.get(name) or action.get(name) or {}


def check_request(
    merged: Schemas, live: Mapping[str, Any], given: Mapping[str, Any], schema: Schema
) -> None:
    """Refuse parameters that break the merged schema, and immutable ones that were given."""
    schema.clean(dict(live))
    immutable = sorted(name for name in given if merged.get(name, {}).get("immutable"))
    if immutable:
        raise ParameterError(
            f"Override of immutable parameter(s) {immutable} is unsupported.",
            category="immutable_override",
            parameter=immutable[0],
        )


def parameters_schema(merged: Schemas) -> dict[str, Any]:
    """Return the JSON schema that an action's parameters as a whole must meet.

    An empty definition allows anything; so does an action without any parameter.
    """
    if not merged:
        return {}
    properties = {name: spec or ANYTHING for name, spec in merged.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


@contextmanager
def _secrets_untold(merged: Schemas) -> Iterator[None]:
    """Keep the values of secret parameters out of refusals, which are answered, recorded and logged."""
    try:
        yield
    except ParameterError as error:
        if not _is_secret(merged, error.parameter):
            raise
        raise ParameterError(
            _untold(error.parameter), category=error.category, parameter=error.parameter
        ) from None
    except SchemaViolation as error:
        name = str(error.path[0]) if error.path else ""
        if not _is_secret(merged, name):
            raise
        raise SchemaViolation(_untold(name), keyword=error.keyword, path=error.path[:1]) from None


def _is_secret(merged: Schemas, name: str) -> bool:
    return bool(merged.get(name, {}).get("secret"))


def _untold(name: str) -> str:
    return (
        f'The value of "{name}" does not fit; the parameter is secret, so the value is not shown.'
    )


class _Merged(msgspec.Struct, frozen=True):
    """What was made of an action and its runner; valid while both are the same objects."""

    action: Action
    runner: RunnerType
    merged: dict[str, dict[str, Any]]
    schema: Schema


class Resolver:
    """Resolves the parameters of executions; keeps what it made of each action."""

    def __init__(self, templates: Templates, contexts: Contexts) -> None:
        self._templates = templates
        self._contexts = contexts
        self._known: dict[str, _Merged] = {}

    def live(
        self,
        action: Action,
        runner: RunnerType,
        given: Mapping[str, Any],
        action_context: Mapping[str, Any],
        names: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return what an execution stores as its parameters, checked.

        `names` are further names for templates, such as `trigger`. Raises `ParameterError` and
        `SchemaViolation`, both `InvalidInput`.
        """
        known = self._merged(action, runner)
        with _secrets_untold(known.merged):
            live = resolve_live(
                self._templates,
                runner.runner_parameters,
                action.parameters,
                given,
                self._names(action_context, names or {}),
            )
            check_request(known.merged, live, given, known.schema)
        return live

    def final(
        self,
        action: Action,
        runner: RunnerType,
        live: Mapping[str, Any],
        action_context: Mapping[str, Any],
    ) -> Resolved:
        """Return what the runner gets: the stored parameters completed with defaults."""
        with _secrets_untold(self._merged(action, runner).merged):
            return resolve_final(
                self._templates,
                runner.runner_parameters,
                action.parameters,
                live,
                self._names(action_context, {}),
            )

    def merged(self, action: Action, runner: RunnerType) -> dict[str, dict[str, Any]]:
        """Return the schemas of all parameters that a caller may give."""
        return self._merged(action, runner).merged

    def _names(
        self, action_context: Mapping[str, Any], names: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return {**self._contexts(action_context), "action_context": action_context, **names}

    def _merged(self, action: Action, runner: RunnerType) -> _Merged:
        known = self._known.get(action.ref)
        if known is not None and known.action is action and known.runner is runner:
            return known
        merged = merged_schemas(runner.runner_parameters, action.parameters, ref=action.ref)
        known = _Merged(action, runner, merged, Schema(parameters_schema(merged)))
        if len(self._known) >= SCHEMA_CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[action.ref] = known
        return known
