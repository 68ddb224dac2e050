"""What all content has in common over REST: lists and single documents."""

from collections.abc import Mapping
from typing import Any

import msgspec

from whimbrel.gateway.endpoint import Endpoint, Param, Reply, Request, described
from whimbrel.gateway.listing import (
    DEFAULT_LIMIT,
    EXCLUDE,
    INCLUDE,
    SORT,
    Attributes,
    Getter,
    document,
    listing,
    page_params,
    selected,
    window,
)
from whimbrel.gateway.ports import BrokerPort


class ContentKind(msgspec.Struct, frozen=True):
    """A kind of content: where it stands, what it can be filtered by, what always shows."""

    name: str
    path: str
    model: type[msgspec.Struct]
    filters: Mapping[str, Getter]
    filter_params: tuple[Param, ...]
    always: tuple[str, ...] = ("id", "ref")
    excludable: frozenset[str] | None = None

    def attributes(self, request: Request) -> Attributes:
        """Return which attributes an answer has. Raises `InvalidInput`."""
        return Attributes(
            request.query,
            self.model.__struct_fields__,
            always=self.always,
            excludable=self.excludable,
        )

    def page(self, broker: BrokerPort, request: Request) -> tuple[list[Any], int, int]:
        """Return the items of the asked page, how many match, and the limit."""
        limit, offset = window(request.query)
        found = selected(broker.content.all(self.name), request.query, self.filters)
        return found[offset : None if limit < 0 else offset + limit], len(found), limit

    async def list(self, broker: BrokerPort, request: Request) -> Reply:
        """Answer a page of documents."""
        attributes = self.attributes(request)
        page, total, limit = self.page(broker, request)
        return listing([attributes.of(document(item)) for item in page], total, limit)

    async def get(self, broker: BrokerPort, request: Request) -> Reply:
        """Answer one document."""
        attributes = self.attributes(request)
        item = broker.content.find(self.name, request.args["ref_or_id"])
        return Reply(attributes.of(document(item)))


def endpoints_of(kind: ContentKind, *, limit: int | None = DEFAULT_LIMIT) -> tuple[Endpoint, ...]:
    """Return the endpoints that list a kind and give one of it; `limit` None lists all by default."""
    words = kind.name.replace("_", " ")
    article = "an" if words[0] in "aeiou" else "a"
    return described(
        Endpoint(
            method="GET",
            path=kind.path,
            handler=kind.list,
            summary=f"List {words}s.",
            params=(*page_params(limit), SORT, *kind.filter_params),
        ),
        Endpoint(
            method="GET",
            path=kind.path + "/{ref_or_id}",
            handler=kind.get,
            summary=f"Get {article} {words} by ref or id.",
            params=(INCLUDE, EXCLUDE),
        ),
    )
