"""ContentService, EventService, DatastoreService and IdentityService."""

from typing import Any

import grpc
import msgspec
from whimbrel_sdk.wire.api.v1 import content_service_pb2 as content_pb
from whimbrel_sdk.wire.api.v1 import content_service_pb2_grpc as content_rpc
from whimbrel_sdk.wire.api.v1 import datastore_service_pb2 as datastore_pb
from whimbrel_sdk.wire.api.v1 import datastore_service_pb2_grpc as datastore_rpc
from whimbrel_sdk.wire.api.v1 import event_service_pb2 as event_pb
from whimbrel_sdk.wire.api.v1 import event_service_pb2_grpc as event_rpc
from whimbrel_sdk.wire.api.v1 import identity_service_pb2 as identity_pb
from whimbrel_sdk.wire.api.v1 import identity_service_pb2_grpc as identity_rpc
from whimbrel_sdk.wire.api.v1 import types_pb2 as types_pb

from whimbrel import errors
from whimbrel.broker.application import Broker
from whimbrel.broker.keys import KeyWrite
from whimbrel.gateway.grpc.calls import Context, refuse, unary
from whimbrel.gateway.grpc.convert import (
    from_event,
    from_object,
    page_size,
    skipped,
    to_content,
    to_item,
    to_trigger_instance,
)
from whimbrel.gateway.masking import masked_rule_parameters, replacing
from whimbrel.model import ApiKey, Caller, Rule

EVENTS_MAX = 1000

KINDS: dict[int, Any] = {
    content_pb.CONTENT_KIND_ACTION: "action",
    content_pb.CONTENT_KIND_RULE: "rule",
    content_pb.CONTENT_KIND_TRIGGER_TYPE: "trigger_type",
    content_pb.CONTENT_KIND_TRIGGER: "trigger",
    content_pb.CONTENT_KIND_RUNNER_TYPE: "runner_type",
    content_pb.CONTENT_KIND_PACK: "pack",
}


def _kind(number: int) -> Any:
    if number not in KINDS:
        allowed = ", ".join(KINDS.values())
        raise errors.InvalidInput(f"must be one of {allowed}, got {number}", place="kind")
    return KINDS[number]


class ContentService(content_rpc.ContentServiceServicer):
    """Actions, rules, trigger types, triggers, runner types and packs."""

    def __init__(self, broker: Broker) -> None:
        self._content = broker.content
        self.identity = broker.identity

    def _shown(self, item: Any) -> content_pb.Content:
        document = msgspec.to_builtins(item)
        if isinstance(item, Rule):
            document["action"]["parameters"] = masked_rule_parameters(self._content, item)
        return to_content(item, document)

    @unary
    async def ListContent(
        self, request: content_pb.ListContentRequest, caller: Caller
    ) -> content_pb.ListContentResponse:
        """Return all of a kind."""
        found = self._content.all(_kind(request.kind))
        wanted = (i for i in found if not request.pack or getattr(i, "pack", "") == request.pack)
        return content_pb.ListContentResponse(content=map(self._shown, wanted))

    @unary
    async def GetContent(
        self, request: content_pb.GetContentRequest, caller: Caller
    ) -> content_pb.GetContentResponse:
        """Return one document."""
        found = self._content.find(_kind(request.kind), request.ref_or_id)
        return content_pb.GetContentResponse(content=self._shown(found))

    @unary
    async def CreateContent(
        self, request: content_pb.CreateContentRequest, caller: Caller
    ) -> content_pb.CreateContentResponse:
        """Create a document."""
        document = from_object(request.document, "document")
        made = await self._content.create(_kind(request.kind), document, user=caller.user)
        return content_pb.CreateContentResponse(content=self._shown(made))

    @unary
    async def UpdateContent(
        self, request: content_pb.UpdateContentRequest, caller: Caller
    ) -> content_pb.UpdateContentResponse:
        """Replace a document."""
        document = from_object(request.document, "document")
        kind = _kind(request.kind)
        former = self._content.find(kind, request.ref_or_id)
        if isinstance(former, Rule):
            document = replacing(former, document)
        changed = await self._content.update(kind, request.ref_or_id, document)
        return content_pb.UpdateContentResponse(content=self._shown(changed))

    @unary
    async def DeleteContent(
        self, request: content_pb.DeleteContentRequest, caller: Caller
    ) -> content_pb.DeleteContentResponse:
        """Remove a document."""
        await self._content.delete(_kind(request.kind), request.ref_or_id)
        return content_pb.DeleteContentResponse()

    @unary
    async def RegisterPacks(
        self, request: content_pb.RegisterPacksRequest, caller: Caller
    ) -> content_pb.RegisterPacksResponse:
        """Register packs from disk."""
        counts = await self._content.register(list(request.packs) or None, None)
        return content_pb.RegisterPacksResponse(counts=counts)


class EventService(event_rpc.EventServiceServicer):
    """Events in, trigger instances out."""

    def __init__(self, broker: Broker) -> None:
        self._events = broker.events
        self.identity = broker.identity

    @unary
    async def DispatchEvents(
        self, request: event_pb.DispatchEventsRequest, caller: Caller
    ) -> event_pb.DispatchEventsResponse:
        """Accept events one after the other; each has its own outcome."""
        if len(request.events) > EVENTS_MAX:
            raise errors.LimitExceeded("events", value=len(request.events), maximum=EVENTS_MAX)
        outcomes = [await self._dispatch(event) for event in request.events]
        return event_pb.DispatchEventsResponse(outcomes=outcomes)

    async def _dispatch(self, event: event_pb.Event) -> event_pb.EventOutcome:
        try:
            ingested = await self._events.ingest(from_event(event))
        except (errors.InvalidInput, errors.NotFound) as error:
            kind = types_pb.Failure.KIND_INVALID_INPUT
            return event_pb.EventOutcome(failure=types_pb.Failure(kind=kind, message=str(error)))
        return event_pb.EventOutcome(
            trigger_instance_id=ingested.trigger_instance_id,
            duplicate=ingested.duplicate,
            execution_ids=ingested.execution_ids,
        )

    @unary
    async def ListTriggerInstances(
        self, request: event_pb.ListTriggerInstancesRequest, caller: Caller
    ) -> event_pb.ListTriggerInstancesResponse:
        """Return a page of trigger instances."""
        found, total = self._events.instances(
            limit=page_size(request.page_size),
            offset=skipped(request.offset),
            trigger=request.trigger or None,
        )
        return event_pb.ListTriggerInstancesResponse(
            trigger_instances=map(to_trigger_instance, found), total=total
        )

    @unary
    async def GetTriggerInstance(
        self, request: event_pb.GetTriggerInstanceRequest, caller: Caller
    ) -> event_pb.GetTriggerInstanceResponse:
        """Return one trigger instance."""
        found = self._events.instance(request.id)
        return event_pb.GetTriggerInstanceResponse(trigger_instance=to_trigger_instance(found))


def _scope(number: int, caller: Caller) -> dict[str, Any]:
    if number == datastore_pb.ITEM_SCOPE_USER:
        return {"scope": "user", "user": caller.user}
    if number in (datastore_pb.ITEM_SCOPE_UNSPECIFIED, datastore_pb.ITEM_SCOPE_SYSTEM):
        return {"scope": "system", "user": None}
    raise errors.InvalidInput(
        f"must be {datastore_pb.ITEM_SCOPE_SYSTEM} (system) or {datastore_pb.ITEM_SCOPE_USER} (user),"
        f" got {number}",
        place="scope",
    )


class DatastoreService(datastore_rpc.DatastoreServiceServicer):
    """Datastore items."""

    def __init__(self, broker: Broker) -> None:
        self._keys = broker.keys
        self.identity = broker.identity

    @unary
    async def GetItem(
        self, request: datastore_pb.GetItemRequest, caller: Caller
    ) -> datastore_pb.GetItemResponse:
        """Return an item."""
        found = self._keys.get(request.name, **_scope(request.scope, caller))
        return datastore_pb.GetItemResponse(item=to_item(found))

    @unary
    async def SetItem(
        self, request: datastore_pb.SetItemRequest, caller: Caller
    ) -> datastore_pb.SetItemResponse:
        """Set an item."""
        write = KeyWrite(
            name=request.name,
            value=request.value,
            ttl=request.ttl_seconds or None,
            **_scope(request.scope, caller),
        )
        return datastore_pb.SetItemResponse(item=to_item(await self._keys.set(write)))

    @unary
    async def DeleteItem(
        self, request: datastore_pb.DeleteItemRequest, caller: Caller
    ) -> datastore_pb.DeleteItemResponse:
        """Remove an item."""
        await self._keys.delete(request.name, **_scope(request.scope, caller))
        return datastore_pb.DeleteItemResponse()

    @unary
    async def ListItems(
        self, request: datastore_pb.ListItemsRequest, caller: Caller
    ) -> datastore_pb.ListItemsResponse:
        """Return a page of items."""
        found = self._keys.find(
            prefix=request.prefix,
            limit=page_size(request.page_size),
            offset=skipped(request.offset),
            **_scope(request.scope, caller),
        )
        return datastore_pb.ListItemsResponse(items=map(to_item, found))


def _api_key(key: ApiKey) -> identity_pb.ApiKey:
    return identity_pb.ApiKey(
        id=key.id, user=key.user, enabled=key.enabled, created_at=key.created_at
    )


class IdentityService(identity_rpc.IdentityServiceServicer):
    """Tokens and API keys."""

    def __init__(self, broker: Broker) -> None:
        self.identity = broker.identity

    async def CreateToken(
        self, request: identity_pb.CreateTokenRequest, context: Context
    ) -> identity_pb.CreateTokenResponse:
        """Return a token for the right password."""
        try:
            issued = await self.identity.login(
                request.user, request.password, ttl_seconds=request.ttl_seconds or None
            )
        except errors.WhimbrelError as error:
            await refuse(context, error)
            raise
        return identity_pb.CreateTokenResponse(token=issued.token, expiry=issued.record.expiry)

    @unary
    async def GetCaller(
        self, request: identity_pb.GetCallerRequest, caller: Caller
    ) -> identity_pb.GetCallerResponse:
        """Return who calls."""
        return identity_pb.GetCallerResponse(user=caller.user, is_admin=caller.is_admin)

    @unary
    async def CreateApiKey(
        self, request: identity_pb.CreateApiKeyRequest, caller: Caller
    ) -> identity_pb.CreateApiKeyResponse:
        """Return a new key, once."""
        made = await self.identity.create_api_key(user=caller.user)
        return identity_pb.CreateApiKeyResponse(key=made.key, api_key=_api_key(made.record))

    @unary
    async def ListApiKeys(
        self, request: identity_pb.ListApiKeysRequest, caller: Caller
    ) -> identity_pb.ListApiKeysResponse:
        """Return all keys, without their secret."""
        found, _ = self.identity.api_keys(limit=-1)
        return identity_pb.ListApiKeysResponse(api_keys=map(_api_key, found))

    @unary
    async def DeleteApiKey(
        self, request: identity_pb.DeleteApiKeyRequest, caller: Caller
    ) -> identity_pb.DeleteApiKeyResponse:
        """Remove a key."""
        await self.identity.delete_api_key(request.id)
        return identity_pb.DeleteApiKeyResponse()


def add_services(server: grpc.aio.Server, broker: Broker) -> list[str]:
    """Let the server offer these services; return their full names."""
    content_rpc.add_ContentServiceServicer_to_server(ContentService(broker), server)
    event_rpc.add_EventServiceServicer_to_server(EventService(broker), server)
    datastore_rpc.add_DatastoreServiceServicer_to_server(DatastoreService(broker), server)
    identity_rpc.add_IdentityServiceServicer_to_server(IdentityService(broker), server)
    files = (content_pb, event_pb, datastore_pb, identity_pb)
    return [name.full_name for file in files for name in file.DESCRIPTOR.services_by_name.values()]
