"""How deep texts and values nest, told before something that calls itself for each level sees them.

The C loader of YAML ends the whole process on a few ten thousand brackets, so every text goes through
here first. JSON is decoded safely, but what is stored has to be decoded again, from wherever it is read.
"""

from typing import Any

import yaml

DEPTH_MAX = 100
"""Lists and mappings inside of each other, in YAML, in JSON and in what actions result in."""

_NESTED = (dict, list)
_MARKS = "[{-:?"
"""Each level opens with one of these."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def too_deep(text: str | bytes, *, most: int = DEPTH_MAX) -> int | None:
    """Return the line on which YAML begins to nest deeper than `most`; None when it never does.

    A text that is no YAML is not judged beyond its mistake: no parser gets further either.
    """
    if isinstance(text, str):
        count = sum(map(text.count, _MARKS))
    else:
        count = sum(text.count(mark.encode()) for mark in _MARKS)
    if count <= most:
        return None
    depth = 0
    try:
        # Events come one by one, and the parser that makes them does not call itself.
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > most:
                    return (event.start_mark.line if event.start_mark else 0) + 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, ValueError):
        return None
    return None


def is_too_deep(value: Any, *, most: int = DEPTH_MAX) -> bool:
    """Return whether JSON data nests deeper than `most`; looks at every value once."""
    level = [value] if isinstance(value, _NESTED) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _NESTED)
        ]
        if not level:
            return False
    return True


__all__ = ["DEPTH_MAX", "is_too_deep", "too_deep"]
