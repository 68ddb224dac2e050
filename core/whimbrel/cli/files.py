"""Documents in files that a command is given: JSON or YAML, told apart by the name, else by trying."""

import json
from pathlib import Path
from typing import Any

from whimbrel.cli.failures import CommandFailed

FILE_BYTES_MAX = 64 << 20


def load(name: str) -> Any:
    """Return the file's document; raises CommandFailed with the place of what is wrong in it."""
    path = Path(name).expanduser()
    data = content(path)
    if path.suffix == ".json":
        try:
            return json.loads(data)
        except ValueError as error:
            raise CommandFailed(f"{path} is not JSON: {error}") from error
        except RecursionError as error:
            raise CommandFailed(f"{path} is not readable JSON: it nests too deep") from error
    import yaml

    from whimbrel import nesting

    if (line := nesting.too_deep(data)) is not None:
        raise CommandFailed(f"{path}:{line} nests deeper than {nesting.DEPTH_MAX} levels")
    try:
        return yaml.load(data, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise CommandFailed(f"{path} is neither JSON nor YAML: {error}") from error


def mapping(name: str) -> dict[str, Any]:
    """Return the file's document, which must be a mapping."""
    document = load(name)
    if not isinstance(document, dict):
        raise CommandFailed(f"{name} must hold one mapping, got {type(document).__name__}")
    return document


def mappings(name: str) -> list[dict[str, Any]]:
    """Return the file's documents: a mapping or a list of mappings."""
    document = load(name)
    found = document if isinstance(document, list) else [document]
    for item in found:
        if not isinstance(item, dict):
            raise CommandFailed(f"{name} must hold mappings, got {type(item).__name__}")
    return found


def content(path: Path) -> bytes:
    """Return the file's bytes, up to 64 MiB of them."""
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise CommandFailed(f"{path} is limited to {FILE_BYTES_MAX} bytes, got {size}")
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(f'File "{path}" cannot be read: {error.strerror}') from error


__all__ = ["content", "load", "mapping", "mappings"]
