"""Lists as StackStorm gives them: pages, totals in headers, chosen attributes, filters, sorting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from whimbrel.errors import InvalidInput
from whimbrel.gateway.endpoint import Kind, Param, Reply

OFFSET_MAX = 2**31 - 1
IDS_MAX = 100
DEFAULT_LIMIT = 100
MISSING = "null"
"""As the value of a filter it selects what lacks the field."""

OFFSET = Param("offset", "How many of the first to leave out.", Kind.INTEGER, 0)
INCLUDE = Param("include_attributes", "Only these attributes, and the id.", Kind.LIST)
EXCLUDE = Param("exclude_attributes", "All attributes but these.", Kind.LIST)
SORT = Param("sort", "Fields to sort by, each as +field or -field.", Kind.LIST)
IDS = Param("id", f"Only these ids, {IDS_MAX} at most.", Kind.LIST)
SHOW_SECRETS = Param("show_secrets", "Show secrets in clear text.", Kind.BOOLEAN, False)

Getter = Callable[[Any], Any]


def limit_param(default: int | None = DEFAULT_LIMIT) -> Param:
    """Return the parameter `limit`; -1 means everything."""
    return Param("limit", "How many at most; -1 means all.", Kind.INTEGER, default)


def page_params(default: int | None = DEFAULT_LIMIT) -> tuple[Param, ...]:
    """Return the parameters that nearly every list has."""
    return (limit_param(default), OFFSET, INCLUDE, EXCLUDE)


def window(query: Mapping[str, Any]) -> tuple[int, int]:
    """Return limit (-1 means all) and offset. Raises `InvalidInput`."""
    limit, offset = query.get("limit"), query.get("offset", 0)
    if limit is None:
        limit = -1
    if limit == 0 or limit < -1:
        raise InvalidInput(f'Limit, "{limit}" specified, must be a positive number.')
    if not 0 <= offset <= OFFSET_MAX:
        raise InvalidInput(f'Offset "{offset}" specified is not from 0 to {OFFSET_MAX}.')
    return limit, offset


def listing(documents: Sequence[Any], total: int, limit: int) -> Reply:
    """Return a page with its headers."""
    headers = [(b"x-total-count", b"%d" % total)]
    if limit > 0:
        headers.append((b"x-limit", b"%d" % limit))
    return Reply(documents, headers=tuple(headers))


class Attributes:
    """Which attributes of a document an answer has, by `include_attributes` or `exclude_attributes`."""

    def __init__(
        self,
        query: Mapping[str, Any],
        known: Iterable[str],
        *,
        always: tuple[str, ...] = ("id",),
        excludable: frozenset[str] | None = None,
    ) -> None:
        """`always` stay in any answer; only `excludable` may be excluded. Raises `InvalidInput`."""
        include, exclude = query.get("include_attributes"), query.get("exclude_attributes")
        if include and exclude:
            raise InvalidInput(
                "exclude_attributes and include_attributes arguments are mutually exclusive."
            )
        names = frozenset(known)
        self._include = _heads(include or (), names, "include_attributes") | set(always)
        self._exclude = _heads(exclude or (), names, "exclude_attributes")
        self._all = not include
        if excludable is not None and (wrong := self._exclude - excludable):
            raise InvalidInput(
                f"Invalid or unsupported exclude attribute specified: {sorted(wrong)};"
                f" allowed are {sorted(excludable)}",
                place="exclude_attributes",
            )

    def wants(self, name: str) -> bool:
        """Whether answers have this attribute."""
        return name not in self._exclude if self._all else name in self._include

    def of(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the document with the wanted attributes."""
        if self._all and not self._exclude:
            return document
        return {name: value for name, value in document.items() if self.wants(name)}


def _heads(names: Iterable[str], known: frozenset[str], place: str) -> set[str]:
    """Return the first segments of dotted names."""
    heads = {name.partition(".")[0] for name in names}
    if wrong := heads - known:
        raise InvalidInput(f"Invalid attribute specified: {sorted(wrong)}", place=place)
    return heads


def document(value: Any) -> Any:
    """Return a struct as the document of an answer: what is None is left out, at every depth of structs."""
    if isinstance(value, msgspec.Struct):
        return {
            name: document(field)
            for name in value.__struct_fields__
            if (field := getattr(value, name)) is not None
        }
    if isinstance(value, list | tuple):
        return [document(item) for item in value]
    return value


def selected(
    items: Iterable[Any], query: Mapping[str, Any], getters: Mapping[str, Getter]
) -> list[Any]:
    """Return the items that match every given filter, in the order that `sort` asks for."""
    found = list(items)
    if ids := query.get("id"):
        if len(ids) > IDS_MAX:
            raise InvalidInput(
                f"at most {IDS_MAX} ids can be asked for, got {len(ids)}", place="id"
            )
        found = [item for item in found if item.id in ids]
    for name, getter in getters.items():
        value = query.get(name)
        if value is not None:
            found = [item for item in found if _matches(getter(item), value)]
    for field in reversed(query.get("sort") or ()):
        by = getters.get(field.lstrip("+-"))
        if by is not None:
            found.sort(key=partial(_sort_text, by), reverse=field[0] == "-")
    return found


def _sort_text(getter: Getter, item: Any) -> str:
    return str(getter(item) or "")


def _matches(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and wanted.lower() == MISSING:
        return not found
    if isinstance(found, frozenset):
        return wanted in found
    return bool(found == wanted)
