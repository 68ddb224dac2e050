"""YAML as people write it: safe, every key once, merge keys allowed, errors with file, line and column.

Dates and times stay the text that was written, because what is loaded becomes JSON.
"""

from pathlib import Path
from typing import Any

import yaml

from whimbrel import errors, nesting

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
"""A larger document is refused before it is parsed."""

NODE_LIMIT = 100_000
"""A document with more values, aliases written out, is refused."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE_TAG = "tag:yaml.org,2002:merge"
TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"


class _Loader(_Base):  # type: ignore[misc]  # the C loader has no stub
    """The safe loader, which refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Refuse repeated and unhashable keys, then construct."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE_TAG:
                continue
            key = self.construct_object(key_node, deep=True)
            try:
                repeated = key in seen
            except TypeError:
                raise _problem("a list or mapping cannot be a key", key_node.start_mark) from None
            if key is None or isinstance(key, bool):
                raise _problem(f"the key {key} is not text; quote it", key_node.start_mark)
            if repeated:
                raise _problem(f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP_TAG]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def _problem(text: str, mark: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=text, problem_mark=mark)


def load(text: str | bytes, *, name: str) -> Any:
    """Return the one document in `text`; `name` stands for it in errors (`pack.yaml:3:5: ...`)."""
    if len(text) > SIZE_LIMIT_BYTES:
        raise errors.LimitExceeded(
            f"{name}: a YAML document", value=len(text), maximum=SIZE_LIMIT_BYTES, unit="bytes"
        )
    _check_depth(text, name)
    loader = _Loader(text)
    try:
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise errors.InvalidInput(_said(error), place=place) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise errors.InvalidInput(str(error), place=name) from error
    finally:
        loader.dispose()
    if "*" in text if isinstance(text, str) else b"*" in text:
        _check_size(document, name)
    return document


def _check_depth(text: str | bytes, name: str) -> None:
    """Refuse a document that is nested too deeply, before the parser recurses into it."""
    line = nesting.too_deep(text)
    if line is not None:
        raise errors.LimitExceeded(
            f"{name}:{line}: nesting of a YAML document",
            value=nesting.DEPTH_MAX + 1,
            maximum=nesting.DEPTH_MAX,
        )


def _check_size(document: Any, name: str) -> None:
    """Refuse a document whose aliases make it endless or very large."""
    waiting, count = [document], 0
    while waiting:
        count += 1
        if count > NODE_LIMIT:
            raise errors.LimitExceeded(
                f"{name}: values of a YAML document, aliases written out",
                value=count,
                maximum=NODE_LIMIT,
            )
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _said(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not valid YAML"
    return f"{error.context}: {problem}" if error.context else problem


def load_file(path: Path, *, name: str = "") -> Any:
    """Return the document in a file; `name` stands for it in errors, its path when empty."""
    shown = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.InvalidInput(
            f"cannot be read: {error.strerror or error}", place=shown
        ) from error
    return load(content, name=shown)
