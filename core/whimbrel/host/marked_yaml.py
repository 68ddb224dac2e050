"""A YAML document with the line of everything in it."""

from collections.abc import Iterator
from typing import Any

import yaml

from whimbrel import errors, nesting

Path = tuple[str | int, ...]

NODES_MAX = 10_000
"""Values of one document, aliases written out."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class MarkedDocument:
    """A loaded mapping, and where its parts stand. Keys are text and stand once."""

    def __init__(self, text: bytes, *, name: str) -> None:
        self._name = name
        self._lines: dict[Path, int] = {(): 1}
        self._nodes = 0
        if (line := nesting.too_deep(text)) is not None:
            raise errors.LimitExceeded(
                f"{name}:{line}: nesting", value=nesting.DEPTH_MAX + 1, maximum=nesting.DEPTH_MAX
            )
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self._mark(node, ())
            self.value = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            problem = error.problem or "no YAML"
            raise errors.InvalidInput(problem, place=f"{name}:{line}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise errors.InvalidInput(str(error), place=name) from error
        finally:
            loader.dispose()
        if not isinstance(self.value, dict):
            raise self.refusal((), f"must be a mapping, found {_kind(self.value)}")

    def refusal(self, path: Path, message: str) -> errors.InvalidInput:
        """Return the error that says what is wrong at `path`: `file:line: /path: message`."""
        known = path
        while known not in self._lines:
            known = known[:-1]
        pointer = "".join(f"/{step}" for step in path)
        said = f"{pointer}: {message}" if pointer else message
        return errors.InvalidInput(said, place=f"{self._name}:{self._lines[known]}")

    def _mark(self, node: Any, path: Path) -> None:
        self._nodes += 1
        if len(path) > nesting.DEPTH_MAX or self._nodes > NODES_MAX:
            message = (
                f"aliases written out nest deeper than {nesting.DEPTH_MAX} levels, or make more than"
                f" {NODES_MAX} values"
            )
            raise errors.InvalidInput(message, place=f"{self._name}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            for key, value in self._pairs(node, path):
                self._mark(value, (*path, key))
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._lines[(*path, number)] = item.start_mark.line + 1
                self._mark(item, (*path, number))

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        for key_node, value in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            place = f"{self._name}:{line}"
            if not isinstance(key, str):
                raise errors.InvalidInput("a list or mapping cannot be a key", place=place)
            if (*path, key) in self._lines:
                first = self._lines[(*path, key)]
                message = f"the key {key!r} stands twice, first on line {first}"
                raise errors.InvalidInput(message, place=place)
            self._lines[(*path, key)] = line
            yield key, value


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
