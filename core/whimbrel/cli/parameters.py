"""The parameters of `run` as people type them: words to typed values, by what the action declares.

Pure but for the reading of `@name=file`, which is a function of the caller.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whimbrel.cli.failures import Usage

Reader = Callable[[str], str]
Schemas = Mapping[str, Mapping[str, Any]]

HTTP_ACTION = "core.http"
LITERALS = {"true": True, "false": False, "null": None, "none": None}
NOT_INHERITED = frozenset(
    (
        *("HOME", "LANG", "LOGNAME", "LS_COLORS", "MAIL", "OLDPWD", "PATH", "PS1", "PWD"),
        *("PYTHONPATH", "SHELL", "SSH_CONNECTION", "SSH_TTY", "TERM", "USER", "USERNAME"),
        "XDG_SESSION_ID",
    )
)


def schemas_of(action: Mapping[str, Any], runner: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters of an action and its runner; where both say a type, the runner is right."""
    merged: dict[str, dict[str, Any]] = {
        name: dict(schema) for name, schema in (action.get("parameters") or {}).items()
    }
    for name, schema in (runner.get("runner_parameters") or {}).items():
        own = merged.get(name, {})
        merged[name] = {**schema, **own, **({"type": schema["type"]} if "type" in schema else {})}
    return merged


def parse(
    words: Sequence[str],
    schemas: Schemas,
    read: Reader,
    *,
    action: str = "",
    auto_dict: bool = False,
) -> dict[str, Any]:
    """Return the parameters that the words give; raises Usage for a value of the wrong form.

    `name=value`; `@name=path` takes the file's content; a name given again appends to an array; the
    first word without `=` and all after it, joined by spaces, are the parameter `cmd`.
    """
    found: dict[str, Any] = {}
    for index, word in enumerate(words):
        name, equals, text = word.partition("=")
        if not equals:
            found["cmd"] = " ".join(words[index:])
            break
        if name.startswith("@"):
            found.update(_from_file(name[1:], text, read, action))
            continue
        value = _typed(name, text, schemas.get(name, {}), auto_dict=auto_dict)
        earlier = found.get(name)
        if isinstance(earlier, list) and isinstance(value, list):
            found[name] = earlier + value
        else:
            found[name] = value
    return found


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment less what belongs to this machine and session."""
    return {name: value for name, value in environment.items() if name not in NOT_INHERITED}


def help_text(action: Mapping[str, Any], runner: Mapping[str, Any]) -> str:
    """Return the action's description and its parameters: required, optional, fixed."""
    schemas = schemas_of(action, runner)
    groups: dict[str, list[str]] = {"Required": [], "Optional": [], "Immutable": []}
    for name in sorted(schemas, key=lambda name: _order(name, schemas[name])):
        schema = schemas[name]
        kind = "Optional"
        if schema.get("immutable"):
            kind = "Immutable"
        elif schema.get("required"):
            kind = "Required"
        groups[kind].append(name)
    lines = ["", str(action.get("description") or "No description."), ""]
    for kind in ("Required", "Optional"):
        if groups[kind]:
            lines.append(f"{kind} Parameters:")
            for name in groups[kind]:
                lines += [f"    {name}", *_described(schemas[name]), ""]
    return "\n".join(lines)


def _order(name: str, schema: Mapping[str, Any]) -> tuple[float, str]:
    position = schema.get("position")
    return (float("inf") if position is None else float(position), name)


def _described(schema: Mapping[str, Any]) -> list[str]:
    lines = [str(schema["description"])] if schema.get("description") else []
    if schema.get("type"):
        lines.append(f"Type: {schema['type']}")
    if schema.get("enum"):
        lines.append(f"Enum: {', '.join(map(str, schema['enum']))}")
    if schema.get("default") is not None:
        secret = schema.get("secret")
        lines.append(f"Default: {'********' if secret else schema['default']}")
    return [f"        {line}" for line in lines]


def _from_file(name: str, path: str, read: Reader, action: str) -> dict[str, Any]:
    if action == HTTP_ACTION:
        return {"file_name": path.rpartition("/")[2], "file_content": read(path), "method": "POST"}
    return {name: read(path)}


def _typed(name: str, text: str, schema: Mapping[str, Any], *, auto_dict: bool) -> Any:
    kind = schema.get("type")
    kinds = list(kind) if isinstance(kind, list) else [kind]
    for candidate in kinds:
        try:
            return _of_kind(str(candidate), text, schema, auto_dict=auto_dict)
        except ValueError as error:
            if candidate == kinds[-1]:
                allowed = " or ".join(map(str, kinds))
                raise Usage(f"parameter {name} must be {allowed}, got {text!r}") from error
    return text


def _of_kind(kind: str, text: str, schema: Mapping[str, Any], *, auto_dict: bool) -> Any:
    # An expression is for the server to evaluate; what it comes to is not known here.
    if text.startswith(("{{", "{%")):
        return text
    match kind:
        case "array":
            return _array(text, schema.get("items") or {}, auto_dict=auto_dict)
        case "object":
            return _object(text)
        case "integer":
            return int(text)
        case "number":
            return int(text) if text.lstrip("+-").isdecimal() else float(text)
        case "boolean" | "null":
            return _literal(text, kind)
        case _:
            return text


def _literal(text: str, kind: str) -> bool | None:
    value = LITERALS.get(text.lower(), ...)
    if value is ... or (value is None) != (kind == "null"):
        raise ValueError(text)
    assert value is None or isinstance(value, bool)
    return value


def _array(text: str, items: Mapping[str, Any], *, auto_dict: bool) -> Any:
    if text.startswith("["):
        values = json.loads(text)
        if not isinstance(values, list):
            raise ValueError(text)
        return values
    parts = [part.strip() for part in text.split(",")] if text else []
    if auto_dict and parts and all(":" in part for part in parts):
        return [dict(_pair(part, ":") for part in parts)]
    match items.get("type"):
        case "integer":
            return [int(part) for part in parts]
        case "number":
            return [float(part) for part in parts]
        case "object":
            return [_object(part.replace(":", "=")) for part in parts]
        case _:
            return parts


def _object(text: str) -> dict[str, Any]:
    if text.startswith("{"):
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(text)
        return value
    parts = text.split(",") if text else []
    if not all("=" in part for part in parts):
        raise ValueError(text)
    return dict(_pair(part, "=") for part in parts)


def _pair(text: str, separator: str) -> tuple[str, str]:
    name, _, value = text.partition(separator)
    return name.strip(), value.strip()


__all__ = ["Schemas", "help_text", "inherited", "parse", "schemas_of"]
