"""The gRPC API of a whole broker, over its socket and over TCP, as a client in any language sees it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from whimbrel.testing import BrokerProcess
from whimbrel.testing.process import PASSWORD, USER
from whimbrel_sdk.wire.api.v1 import content_service_pb2 as content_pb
from whimbrel_sdk.wire.api.v1 import content_service_pb2_grpc as content_rpc
from whimbrel_sdk.wire.api.v1 import datastore_service_pb2 as datastore_pb
from whimbrel_sdk.wire.api.v1 import datastore_service_pb2_grpc as datastore_rpc
from whimbrel_sdk.wire.api.v1 import event_service_pb2 as event_pb
from whimbrel_sdk.wire.api.v1 import event_service_pb2_grpc as event_rpc
from whimbrel_sdk.wire.api.v1 import execution_service_pb2 as execution_pb
from whimbrel_sdk.wire.api.v1 import execution_service_pb2_grpc as execution_rpc
from whimbrel_sdk.wire.api.v1 import identity_service_pb2 as identity_pb
from whimbrel_sdk.wire.api.v1 import identity_service_pb2_grpc as identity_rpc
from whimbrel_sdk.wire.api.v1 import types_pb2 as types_pb

Code = grpc.StatusCode
SECONDS = 20.0
UNKNOWN: Any = 9
MASK = "********"
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


def payload(value: object) -> types_pb.Payload:
    """Return a value as the wire has it."""
    return types_pb.Payload(encoding=types_pb.ENCODING_JSON, data=json.dumps(value).encode())


def raw(text: bytes) -> types_pb.Payload:
    """Return bytes that claim to be JSON."""
    return types_pb.Payload(encoding=types_pb.ENCODING_JSON, data=text)


class Client:
    """All services over one channel, with a token unless told otherwise."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self.channel = channel
        self.metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token}"),)
        self.execution = execution_rpc.ExecutionServiceStub(channel)
        self.content = content_rpc.ContentServiceStub(channel)
        self.event = event_rpc.EventServiceStub(channel)
        self.datastore = datastore_rpc.DatastoreServiceStub(channel)
        self.identity = identity_rpc.IdentityServiceStub(channel)

    def call(self, method: Any, request: Any, **options: Any) -> Any:
        """Make one call with the credentials."""
        return method(request, metadata=self.metadata, timeout=SECONDS, **options)

    def refused(self, method: Any, request: Any) -> tuple[grpc.StatusCode, str]:
        """Return how a call was refused."""
        with pytest.raises(grpc.RpcError) as caught:
            self._exhaust(method, request)
        return caught.value.code(), caught.value.details() or ""

    def _exhaust(self, method: Any, request: Any) -> None:
        answer = self.call(method, request)
        if isinstance(answer, Iterator):
            list(answer)

    def run(self, cmd: str, **fields: Any) -> Any:
        """Start `core.local`."""
        request = execution_pb.StartExecutionRequest(
            action_ref="core.local", parameters=payload({"cmd": cmd}), **fields
        )
        return self.call(self.execution.StartExecution, request).execution

    def ended(self, execution_id: str) -> Any:
        """Watch an execution to its end and return its last state."""
        request = execution_pb.WatchExecutionsRequest(id=execution_id)
        *_, last = self.call(self.execution.WatchExecutions, request)
        return last.execution


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Run one broker for all tests."""
    with BrokerProcess(tmp_path_factory.mktemp("b")) as running:
        yield running


def open_channel(broker: BrokerProcess, over: str) -> grpc.Channel:
    """Return a channel over the socket or over TCP."""
    if over == "tcp":
        return grpc.insecure_channel(f"127.0.0.1:{broker.grpc_port}")
    options = [("grpc.default_authority", "localhost")]
    return grpc.insecure_channel(f"unix:{broker.folder}/run/api.sock", options=options)


@pytest.fixture(params=["socket", "tcp"])
def client(broker: BrokerProcess, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give a client over each of the two listeners."""
    with open_channel(broker, request.param) as channel:
        yield Client(channel, broker.token)


@pytest.fixture
def local(broker: BrokerProcess) -> Iterator[Client]:
    """Give a client over the socket."""
    with open_channel(broker, "socket") as channel:
        yield Client(channel, broker.token)


def test_an_execution_is_started_watched_and_read(client: Client) -> None:
    """Start answers at once; watching ends with the execution; its result is the runner's."""
    started = client.run("echo out; echo err >&2", trace_tag="a tag")
    assert not started.finished
    ended = client.ended(started.id)

    assert ("succeeded", True, USER) == (ended.status, ended.finished, ended.user)
    result = json.loads(ended.result.data)
    assert ("out", "err", 0) == (result["stdout"], result["stderr"], result["return_code"])
    got = client.call(
        client.execution.GetExecution, execution_pb.GetExecutionRequest(id=started.id)
    )
    assert ended == got.execution
    last = client.call(client.execution.GetExecution, execution_pb.GetExecutionRequest(id="last"))
    assert started.id == last.execution.id


def test_output_is_streamed_live_and_replayed(client: Client) -> None:
    """A stream that begins early and one that begins late give the same output, and both end."""
    started = client.run("for i in 1 2 3; do echo $i; sleep 0.1; done; echo late >&2")
    request = execution_pb.StreamOutputRequest(id=started.id)
    for _ in range(2):
        pieces = list(client.call(client.execution.StreamOutput, request))
        assert "1\n2\n3\n" == "".join(p.text for p in pieces if p.channel == "stdout")
        assert "late\n" == "".join(p.text for p in pieces if p.channel == "stderr")


def test_executions_are_listed_by_what_is_asked(local: Client) -> None:
    """Pages are newest first and filters select."""
    ids = [local.run(f"echo {n}").id for n in range(3)]
    for execution_id in ids:
        local.ended(execution_id)
    request = execution_pb.ListExecutionsRequest(
        page_size=2, action_ref="core.local", status="succeeded", user=USER
    )
    listed = local.call(local.execution.ListExecutions, request)
    assert ids[:0:-1] == [e.id for e in listed.executions]
    assert listed.total >= 3
    nothing = execution_pb.ListExecutionsRequest(action_ref="no.where")
    assert 0 == local.call(local.execution.ListExecutions, nothing).total


def test_an_execution_is_canceled_once_and_for_all(local: Client) -> None:
    """Cancel ends a run, again is no error, and an ended one cannot be canceled."""
    started = local.run("sleep 60")
    request = execution_pb.CancelExecutionRequest(id=started.id)
    assert local.call(local.execution.CancelExecution, request).execution.status in (
        "canceling",
        "canceled",
    )
    assert "canceled" == local.ended(started.id).status
    assert "canceled" == local.call(local.execution.CancelExecution, request).execution.status

    over = local.ended(local.run("true").id)
    code, text = local.refused(
        local.execution.CancelExecution, execution_pb.CancelExecutionRequest(id=over.id)
    )
    assert (Code.FAILED_PRECONDITION, True) == (code, "succeeded" in text)


def test_watching_all_tells_of_others(local: Client) -> None:
    """Without an id every change is told as it happens, until the caller has enough."""
    request = execution_pb.WatchExecutionsRequest()
    watching = local.call(local.execution.WatchExecutions, request)
    states: list[str] = []
    # The subscription begins somewhat after the call: runs are started until one is told.
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(_until_finished, watching, states)
        while not told.done():
            local.ended(local.run("true").id)
    watching.cancel()
    assert "succeeded" == states[-1]


def _until_finished(watching: Any, states: list[str]) -> None:
    for change in watching:
        states.append(change.execution.status)
        if change.execution.finished:
            return


def rule(name: str, **action: Any) -> dict[str, Any]:
    """Return a rule's document."""
    return {
        "name": name,
        "pack": "default",
        "enabled": True,
        "trigger": {"type": "core.st2.webhook", "parameters": {"url": name}},
        "criteria": {},
        "action": {"ref": "core.local", "parameters": {"cmd": "true"}, **action},
    }


def test_content_is_created_changed_and_removed(client: Client, request: Any) -> None:
    """A rule lives through all methods; each answer has the whole document."""
    name = f"content_{request.node.callspec.params['client']}"
    made = client.call(
        client.content.CreateContent,
        content_pb.CreateContentRequest(
            kind=content_pb.CONTENT_KIND_RULE, document=payload(rule(name))
        ),
    ).content
    assert f"default.{name}" == made.ref
    assert USER == json.loads(made.document.data)["context"]["user"]
    changed = client.call(
        client.content.UpdateContent,
        content_pb.UpdateContentRequest(
            kind=content_pb.CONTENT_KIND_RULE,
            ref_or_id=made.ref,
            document=payload({**rule(name), "description": "changed"}),
        ),
    ).content
    assert (made.id, "changed") == (changed.id, changed.description)
    assert USER == json.loads(changed.document.data)["context"]["user"]
    get = content_pb.GetContentRequest(kind=content_pb.CONTENT_KIND_RULE, ref_or_id=made.id)
    assert changed == client.call(client.content.GetContent, get).content
    listed = client.call(
        client.content.ListContent,
        content_pb.ListContentRequest(kind=content_pb.CONTENT_KIND_RULE, pack="default"),
    )
    assert made.id in {c.id for c in listed.content}
    client.call(
        client.content.DeleteContent,
        content_pb.DeleteContentRequest(kind=content_pb.CONTENT_KIND_RULE, ref_or_id=made.ref),
    )
    assert Code.NOT_FOUND == client.refused(client.content.GetContent, get)[0]


@pytest.mark.parametrize("kind", [k for k in content_pb.ContentKind.values() if k])
def test_every_kind_of_content_is_listed(local: Client, kind: Any) -> None:
    """Each kind has entries, and an entry can be got by its ref."""
    listed = local.call(local.content.ListContent, content_pb.ListContentRequest(kind=kind))
    first = listed.content[0]
    request = content_pb.GetContentRequest(kind=kind, ref_or_id=first.ref)
    assert first == local.call(local.content.GetContent, request).content


def test_secret_parameters_of_rules_are_masked_and_kept(
    local: Client, broker: BrokerProcess
) -> None:
    """A rule's secret goes out masked; sent back masked, it is still what it was."""
    parameters = {"cmd": "true", "sudo_password": "canary"}
    document = rule("secretive", parameters=parameters)
    request = content_pb.CreateContentRequest(
        kind=content_pb.CONTENT_KIND_RULE, document=payload(document)
    )
    made = local.call(local.content.CreateContent, request).content
    shown = json.loads(made.document.data)
    assert MASK == shown["action"]["parameters"]["sudo_password"]
    changed = local.call(
        local.content.UpdateContent,
        content_pb.UpdateContentRequest(
            kind=content_pb.CONTENT_KIND_RULE, ref_or_id=made.ref, document=payload(shown)
        ),
    ).content
    listed = local.call(
        local.content.ListContent, content_pb.ListContentRequest(kind=content_pb.CONTENT_KIND_RULE)
    )
    for answer in (made, changed, *listed.content):
        assert b"canary" not in answer.document.data
    _, rest = broker.call("GET", f"/api/v1/rules/{made.id}?show_secrets=true")
    assert "canary" == rest["action"]["parameters"]["sudo_password"]


def test_packs_are_registered(local: Client) -> None:
    """Registering says how many of each kind there are; an unknown pack is refused by name."""
    request = content_pb.RegisterPacksRequest(packs=["core"])
    counts = local.call(local.content.RegisterPacks, request).counts
    assert counts["actions"] >= 3
    code, text = local.refused(
        local.content.RegisterPacks, content_pb.RegisterPacksRequest(packs=["nowhere"])
    )
    assert (Code.INVALID_ARGUMENT, True) == (code, "nowhere" in text)


def test_events_have_each_their_outcome(local: Client) -> None:
    """In one call good events are accepted, repeated ones told as such, bad ones refused with why."""
    local.call(
        local.content.CreateContent,
        content_pb.CreateContentRequest(
            kind=content_pb.CONTENT_KIND_RULE, document=payload(rule("events"))
        ),
    )
    good = event_pb.Event(
        trigger="core.st2.webhook",
        parameters=payload({"url": "events"}),
        payload=payload({"body": {"n": 1}}),
        event_id="e1",
    )
    bad = (
        event_pb.Event(trigger="no.where", payload=payload({})),
        event_pb.Event(payload=payload({})),
        event_pb.Event(trigger="core.st2.webhook", parameters=raw(b"[1]")),
        event_pb.Event(trigger="core.st2.webhook", payload=raw(b"[" * 100_000)),
        event_pb.Event(trigger="core.st2.webhook", payload=raw(b'"\xff"')),
        event_pb.Event(trigger="core.st2.webhook", payload=types_pb.Payload(encoding=UNKNOWN)),
    )
    request = event_pb.DispatchEventsRequest(events=[good, good, *bad])
    first, again, *refused = local.call(local.event.DispatchEvents, request).outcomes

    assert (False, True) == (first.duplicate, again.duplicate)
    assert first.trigger_instance_id == again.trigger_instance_id
    assert 1 == len(first.execution_ids)
    assert all(o.failure.kind == types_pb.Failure.KIND_INVALID_INPUT for o in refused)
    said = [o.failure.message for o in refused]
    for text, message in zip(
        [
            "no.where",
            "trigger: is required",
            "parameters: must be",
            "payload: is nested",
            "payload",
        ],
        said,
        strict=False,
    ):
        assert text in message
    assert "encoding 9" in said[-1]

    get = event_pb.GetTriggerInstanceRequest(id=first.trigger_instance_id)
    instance = local.call(local.event.GetTriggerInstance, get).trigger_instance
    assert {"n": 1} == json.loads(instance.payload.data)["body"]
    listing = event_pb.ListTriggerInstancesRequest(trigger=instance.trigger, page_size=5)
    listed = local.call(local.event.ListTriggerInstances, listing)
    assert ([instance], 1) == (list(listed.trigger_instances), listed.total)


@pytest.mark.parametrize("scope", datastore_pb.ItemScope.values())
def test_items_are_set_got_listed_and_removed(client: Client, scope: Any) -> None:
    """A datastore item lives through all methods in each scope."""
    name = f"item.{scope}"
    write = datastore_pb.SetItemRequest(name=name, value="v", scope=scope, ttl_seconds=60)
    made = client.call(client.datastore.SetItem, write).item
    assert made.expire_timestamp
    get = datastore_pb.GetItemRequest(name=name, scope=scope)
    assert made == client.call(client.datastore.GetItem, get).item
    listing = datastore_pb.ListItemsRequest(prefix="item.", scope=scope)
    assert made in client.call(client.datastore.ListItems, listing).items
    remove = datastore_pb.DeleteItemRequest(name=name, scope=scope)
    client.call(client.datastore.DeleteItem, remove)
    assert Code.NOT_FOUND == client.refused(client.datastore.GetItem, get)[0]
    assert Code.NOT_FOUND == client.refused(client.datastore.DeleteItem, remove)[0]


def test_keys_and_tokens_open_the_door(client: Client) -> None:
    """A password gives a token, a token gives an API key, each of which calls; a removed key does not."""
    issued = client.identity.CreateToken(
        identity_pb.CreateTokenRequest(user=USER, password=PASSWORD, ttl_seconds=60),
        timeout=SECONDS,
    )
    client.metadata = (("authorization", f"bearer {issued.token}"),)
    caller = client.call(client.identity.GetCaller, identity_pb.GetCallerRequest())
    assert (USER, True) == (caller.user, caller.is_admin)
    made = client.call(client.identity.CreateApiKey, identity_pb.CreateApiKeyRequest())
    with_token = client.metadata
    client.metadata = (("st2-api-key", made.key),)
    listed = client.call(client.identity.ListApiKeys, identity_pb.ListApiKeysRequest())
    assert made.api_key in listed.api_keys
    client.metadata = with_token
    client.call(client.identity.DeleteApiKey, identity_pb.DeleteApiKeyRequest(id=made.api_key.id))
    client.metadata = (("st2-api-key", made.key),)
    code, _ = client.refused(client.identity.GetCaller, identity_pb.GetCallerRequest())
    assert Code.UNAUTHENTICATED == code


METHODS = [
    (service, method.name)
    for service, file in (
        ("execution", execution_pb),
        ("content", content_pb),
        ("event", event_pb),
        ("datastore", datastore_pb),
        ("identity", identity_pb),
    )
    for described in file.DESCRIPTOR.services_by_name.values()
    for method in described.methods
    if method.name != "CreateToken"
]
REQUESTS = {
    method.name: method.input_type._concrete_class
    for file in (execution_pb, content_pb, event_pb, datastore_pb, identity_pb)
    for described in file.DESCRIPTOR.services_by_name.values()
    for method in described.methods
}
CREDENTIALS = (
    (),
    (("authorization", "Bearer garbage"),),
    (("authorization", "Basic YWRtaW46eA=="),),
    (("authorization", "Bearer "),),
    (("st2-api-key", "x" * 4000),),
    (("x-auth-token", "garbage"),),
)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_nobody_unknown_gets_in(local: Client, service: str, method: str) -> None:
    """Without valid credentials every method is refused as unauthenticated, whatever is asked."""
    for credentials in CREDENTIALS:
        local.metadata = credentials
        code, text = local.refused(getattr(getattr(local, service), method), REQUESTS[method]())
        assert (Code.UNAUTHENTICATED, True) == (code, bool(text))


@pytest.mark.parametrize(
    ("service", "method", "asked", "code", "said"),
    [
        (
            "execution",
            "StartExecution",
            {"action_ref": "no.where"},
            Code.INVALID_ARGUMENT,
            "no.where",
        ),
        ("execution", "StartExecution", {}, Code.INVALID_ARGUMENT, ""),
        (
            "execution",
            "StartExecution",
            {"action_ref": "core.local", "parameters": raw(b"{")},
            Code.INVALID_ARGUMENT,
            "parameters: is not JSON",
        ),
        (
            "execution",
            "StartExecution",
            {"action_ref": "core.local", "parameters": raw(b"[" * 100_000)},
            Code.INVALID_ARGUMENT,
            "parameters: is nested too deep",
        ),
        (
            "execution",
            "StartExecution",
            {"action_ref": "core.local", "parameters": raw(b'{"cmd":"\xff"}')},
            Code.INVALID_ARGUMENT,
            "parameters: is not JSON",
        ),
        (
            "execution",
            "StartExecution",
            {"action_ref": "core.local", "parameters": payload({"kmd": 1})},
            Code.INVALID_ARGUMENT,
            "kmd",
        ),
        (
            "execution",
            "StartExecution",
            {
                "action_ref": "core.local",
                "parameters": payload({"cmd": "true"}),
                "delay_milliseconds": -5,
            },
            Code.INVALID_ARGUMENT,
            "/delay",
        ),
        ("execution", "GetExecution", {"id": "f" * 24}, Code.NOT_FOUND, "f" * 24),
        ("execution", "GetExecution", {"id": "x" * 300}, Code.RESOURCE_EXHAUSTED, "limited to 255"),
        ("execution", "GetExecution", {"id": "a\0b"}, Code.NOT_FOUND, ""),
        ("execution", "CancelExecution", {"id": "f" * 24}, Code.NOT_FOUND, "f" * 24),
        ("execution", "StreamOutput", {"id": "f" * 24}, Code.NOT_FOUND, "f" * 24),
        ("execution", "WatchExecutions", {"id": "f" * 24}, Code.NOT_FOUND, "f" * 24),
        ("execution", "ListExecutions", {"page_size": -1}, Code.INVALID_ARGUMENT, "page_size"),
        ("execution", "ListExecutions", {"offset": -1}, Code.INVALID_ARGUMENT, "offset"),
        ("event", "ListTriggerInstances", {"offset": -1}, Code.INVALID_ARGUMENT, "offset"),
        ("event", "GetTriggerInstance", {"id": "f" * 24}, Code.NOT_FOUND, "f" * 24),
        (
            "event",
            "DispatchEvents",
            {"events": [event_pb.Event(trigger="a.b")] * 1001},
            Code.RESOURCE_EXHAUSTED,
            "1000, got 1001",
        ),
        ("content", "ListContent", {}, Code.INVALID_ARGUMENT, "kind: must be one of action, rule"),
        ("content", "ListContent", {"kind": 99}, Code.INVALID_ARGUMENT, "got 99"),
        ("content", "GetContent", {"kind": 2, "ref_or_id": "no.where"}, Code.NOT_FOUND, "no.where"),
        ("content", "CreateContent", {"kind": 2}, Code.INVALID_ARGUMENT, "trigger"),
        (
            "content",
            "CreateContent",
            {"kind": 2, "document": payload([1])},
            Code.INVALID_ARGUMENT,
            "document: must be a JSON object",
        ),
        (
            "content",
            "CreateContent",
            {"kind": 2, "document": payload({**rule("x"), "surprise": 1})},
            Code.INVALID_ARGUMENT,
            "surprise",
        ),
        (
            "content",
            "CreateContent",
            {"kind": 6, "document": payload({"name": "p"})},
            Code.INVALID_ARGUMENT,
            "pack",
        ),
        (
            "content",
            "UpdateContent",
            {"kind": 2, "ref_or_id": "no.where", "document": payload({})},
            Code.NOT_FOUND,
            "no.where",
        ),
        (
            "content",
            "UpdateContent",
            {
                "kind": 2,
                "ref_or_id": "examples.sample_rule_with_webhook",
                "document": payload({**rule("n"), "context": "text"}),
            },
            Code.INVALID_ARGUMENT,
            "'text' is not of type 'object'",
        ),
        ("content", "DeleteContent", {"kind": 2, "ref_or_id": "no"}, Code.NOT_FOUND, "no"),
        (
            "content",
            "DeleteContent",
            {"kind": 1, "ref_or_id": "core.local"},
            Code.INVALID_ARGUMENT,
            "system level",
        ),
        ("datastore", "SetItem", {"name": "", "value": "v"}, Code.INVALID_ARGUMENT, "name"),
        (
            "datastore",
            "SetItem",
            {"name": "n", "value": "v" * (1 << 21)},
            Code.RESOURCE_EXHAUSTED,
            "1048576",
        ),
        (
            "datastore",
            "SetItem",
            {"name": "n", "value": "v", "ttl_seconds": -1},
            Code.INVALID_ARGUMENT,
            "ttl",
        ),
        (
            "datastore",
            "SetItem",
            {"name": "n", "value": "v", "ttl_seconds": 1 << 60},
            Code.INVALID_ARGUMENT,
            "ttl",
        ),
        ("datastore", "ListItems", {"page_size": -1}, Code.INVALID_ARGUMENT, "page_size"),
        ("datastore", "GetItem", {"name": "n", "scope": 9}, Code.INVALID_ARGUMENT, "scope"),
        ("identity", "DeleteApiKey", {"id": "nothing"}, Code.NOT_FOUND, ""),
        (
            "identity",
            "CreateToken",
            {"user": USER, "password": PASSWORD, "ttl_seconds": 1 << 30},
            Code.INVALID_ARGUMENT,
            "TTL",
        ),
    ],
)
def test_bad_input_is_refused_with_code_and_place(
    local: Client, service: str, method: str, asked: dict[str, Any], code: Code, said: str
) -> None:
    """Each mistake has its status code and a text that names what is wrong."""
    got, text = local.refused(getattr(getattr(local, service), method), REQUESTS[method](**asked))
    assert (code, True) == (got, said in text), (got, text)


def test_a_wrong_password_is_unauthenticated(local: Client) -> None:
    """The wrong password and the unknown user are told apart from nothing, and not from each other."""
    answers = set()
    for user in ("nobody", "no-such-user"):
        with pytest.raises(grpc.RpcError) as caught:
            local.identity.CreateToken(
                identity_pb.CreateTokenRequest(user=user, password="wrong"),
                timeout=SECONDS,
            )
        answers.add((caught.value.code(), caught.value.details()))
    assert {Code.UNAUTHENTICATED} == {code for code, _ in answers}
    assert 1 == len(answers)


def test_a_name_that_is_taken_is_told_apart(local: Client) -> None:
    """Creating what exists is ALREADY_EXISTS."""
    request = content_pb.CreateContentRequest(
        kind=content_pb.CONTENT_KIND_RULE, document=payload(rule("twice"))
    )
    local.call(local.content.CreateContent, request)
    assert Code.ALREADY_EXISTS == local.refused(local.content.CreateContent, request)[0]


def test_a_message_over_the_limit_is_refused(local: Client) -> None:
    """A larger message than 16 MiB is RESOURCE_EXHAUSTED, and the next call works."""
    request = datastore_pb.SetItemRequest(name="n", value="v" * (MESSAGE_BYTES_MAX + 1))
    code, text = local.refused(local.datastore.SetItem, request)
    assert (Code.RESOURCE_EXHAUSTED, True) == (code, str(MESSAGE_BYTES_MAX) in text)
    local.call(local.identity.GetCaller, identity_pb.GetCallerRequest())


def test_health_is_told_without_credentials(client: Client) -> None:
    """The server and each service say that they serve; an unknown service is not found."""
    health = health_pb2_grpc.HealthStub(client.channel)
    for name in ("", "whimbrel.api.v1.ExecutionService", "whimbrel.api.v1.IdentityService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        assert health_pb2.HealthCheckResponse.SERVING == answer.status
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=SECONDS)
    assert Code.NOT_FOUND == caught.value.code()


def test_reflection_lists_every_service(client: Client) -> None:
    """A client without our protos finds the services."""
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    names = {service.name for service in answer.list_services_response.service}
    services = ("Content", "Datastore", "Event", "Execution", "Identity")
    assert {f"whimbrel.api.v1.{name}Service" for name in services} <= names
    assert "grpc.health.v1.Health" in names


def test_the_socket_is_its_owners_alone(broker: BrokerProcess) -> None:
    """Nobody else on the machine can open the socket or look into its folder."""
    run = Path(broker.folder) / "run"
    assert 0o600 == (run / "api.sock").stat().st_mode & 0o777
    assert 0o700 == run.stat().st_mode & 0o777
