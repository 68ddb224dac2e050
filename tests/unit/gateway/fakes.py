"""A broker for the door's tests: real identity, keys and stream; the rest keeps the port's contract."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from whimbrel import errors
from whimbrel.broker.identity import Identity
from whimbrel.broker.keys import Keys
from whimbrel.broker.stream import Stream
from whimbrel.model import (
    COMPLETED,
    Action,
    Caller,
    Event,
    Execution,
    ExecutionRequest,
    Ingested,
    OutputRecord,
    Pack,
    Rule,
    RuleAction,
    RuleEnforcement,
    RuleTrigger,
    RunnerType,
    Status,
    Trace,
    Trigger,
    TriggerInstance,
    TriggerType,
)
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FixedClock

NOW = "2026-01-31T09:30:00.000000Z"


def object_id(number: int) -> str:
    """Return an id that a test can name."""
    return f"{number:024x}"


def action(name: str, number: int, **more: Any) -> Action:
    """Return an action of pack core."""
    fields: dict[str, Any] = {
        "id": object_id(number),
        "uid": f"action:core:{name}",
        "ref": f"core.{name}",
        "pack": "core",
        "name": name,
        "runner_type": "local-shell-cmd",
        **more,
    }
    return Action(**fields)


class FakeContent:
    """Content in a dictionary; a created document is kept as the model it describes."""

    def __init__(self) -> None:
        secret = {"password": {"type": "string", "secret": True}}
        runner = RunnerType(
            id=object_id(90),
            uid="runner_type:local-shell-cmd",
            name="local-shell-cmd",
            runner_parameters={"cmd": {"type": "string"}, "timeout": {"default": 60}},
        )
        pack = Pack(
            id=object_id(80),
            ref="core",
            uid="pack:core",
            name="core",
            description="",
            version="1.0.0",
            author="a",
        )
        hook = Trigger(
            id=object_id(70),
            ref="core.hook",
            pack="core",
            name="hook",
            type="core.st2.webhook",
            parameters={"url": "in/box"},
        )
        self.items: dict[str, list[Any]] = {
            "action": [
                action("local", 1, parameters={"cmd": {"required": True}, **secret}),
                action("noop", 2, description="Does nothing.", tags=[{"name": "quiet"}]),
            ],
            "runner_type": [runner],
            "pack": [pack],
            "trigger": [hook],
            "trigger_type": [
                TriggerType(id=object_id(60), ref="core.x", pack="core", name="x", description="X.")
            ],
            "rule": [],
        }
        self.registered: list[Any] = []

    def all(self, kind: str) -> Sequence[Any]:
        """Return all of a kind."""
        return self.items[kind]

    def find(self, kind: str, ref_or_id: str) -> Any:
        """Return one."""
        for item in self.items[kind]:
            if ref_or_id in (item.id, item.name if kind == "runner_type" else item.ref):
                return item
        raise errors.NotFound(f'Resource with id or reference "{ref_or_id}" doesn\'t exist.')

    def webhooks(self) -> Sequence[Trigger]:
        """Return all triggers: they are webhooks here."""
        return self.items["trigger"]

    def webhook(self, url: str) -> Trigger:
        """Return a webhook's trigger."""
        for trigger in self.items["trigger"]:
            if trigger.parameters["url"] == url:
                found: Trigger = trigger
                return found
        raise errors.NotFound(f'Webhook with url "{url}" doesn\'t exist')

    def entry_point_text(self, action: Action) -> str:
        """Return something."""
        return f"source of {action.ref}"

    async def create(self, kind: str, document: Any, *, user: str = "") -> Any:
        """Make a rule or an action of a document."""
        name = document["name"]
        if any(item.name == name for item in self.items[kind]):
            raise errors.Conflict("Tried to save duplicate unique keys", conflict_id=object_id(1))
        item = self._made(kind, document, object_id(100 + len(self.items[kind])), user)
        self.items[kind].append(item)
        return item

    def _made(self, kind: str, document: Any, item_id: str, user: str) -> Any:
        if kind == "rule":
            return Rule(
                id=item_id,
                ref=f"default.{document['name']}",
                pack="default",
                name=document["name"],
                enabled=document.get("enabled", False),
                trigger=msgspec.convert(document["trigger"], RuleTrigger),
                action=msgspec.convert(document["action"], RuleAction),
                context={"user": user} if user else document.get("context", {}),
            )
        return action(document["name"], int(item_id, 16), description=document.get("description"))

    async def update(self, kind: str, ref_or_id: str, document: Any) -> Any:
        """Replace one."""
        former = self.find(kind, ref_or_id)
        self.items[kind].remove(former)
        item = self._made(kind, document, former.id, "")
        self.items[kind].append(item)
        return item

    async def delete(self, kind: str, ref_or_id: str, *, remove_files: bool = False) -> Any:
        """Remove one."""
        item = self.find(kind, ref_or_id)
        self.items[kind].remove(item)
        return item

    async def clone(
        self, ref_or_id: str, dest_pack: str, dest_action: str, *, overwrite: bool = False
    ) -> Action:
        """Copy an action."""
        self.find("action", ref_or_id)
        return action(dest_action, 200)

    async def register(
        self,
        names: Sequence[str] | None = None,
        types: Sequence[str] | None = None,
        *,
        fail_on_failure: bool = True,
    ) -> Mapping[str, int]:
        """Remember what was asked."""
        self.registered.append((names, types, fail_on_failure))
        return {"actions": 2}


class FakeExecutions:
    """Executions in a list, newest last; nothing runs."""

    def __init__(self) -> None:
        self.held: list[Execution] = []
        self.printed: list[OutputRecord] = []
        self.asked: dict[str, Any] = {}
        self.requests: list[ExecutionRequest] = []
        self.failure: Exception | None = None

    def add(self, number: int, status: Status = Status.SUCCEEDED, **more: Any) -> Execution:
        """Hold an execution of core.local."""
        fields: dict[str, Any] = {
            "id": object_id(number),
            "liveaction_id": object_id(number + 1),
            "action_ref": "core.local",
            "action_version": "v",
            "runner_type": "local-shell-cmd",
            "status": status,
            "start_timestamp": NOW,
            "context": {"user": "ada"},
            "result": msgspec.Raw(b'{"stdout":"hi"}'),
            "result_size": 15,
            **more,
        }
        execution = Execution(**fields)
        self.held.append(execution)
        return execution

    async def request(self, request: ExecutionRequest, *, caller: Caller) -> Execution:
        """Hold a new execution."""
        if self.failure is not None:
            raise self.failure
        self.requests.append(request)
        context = {**request.context, "user": request.user or caller.user}
        return self.add(len(self.held) + 500, Status.REQUESTED, context=context)

    def get(self, execution_id: str) -> Execution:
        """Return one."""
        if execution_id == "last" and self.held:
            return self.held[-1]
        for execution in self.held:
            if execution.id == execution_id:
                return execution
        raise errors.NotFound(f'Unable to identify resource with id "{execution_id}".')

    def find(self, **asked: Any) -> tuple[list[Execution], int]:
        """Remember what was asked; return a page, newest first."""
        self.asked = asked
        newest_first = self.held[::-1]
        end = None if asked["limit"] < 0 else asked["offset"] + asked["limit"]
        return newest_first[asked["offset"] : end], len(self.held)

    def document(self, execution: Execution, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return a short document."""
        result = None if execution.result is None else msgspec.json.decode(execution.result)
        shown = {
            "id": execution.id,
            "action": {"ref": execution.action_ref, "runner_type": execution.runner_type},
            "status": execution.status.value,
            "context": execution.context,
            "start_timestamp": execution.start_timestamp,
            "parameters": {"password": "open" if show_secrets else "********"},
            "result": result,
        }
        return {name: value for name, value in shown.items() if value is not None}

    async def cancel(self, execution_id: str, *, user: str) -> Execution:
        """End one."""
        execution = self.get(execution_id)
        if execution.status in COMPLETED:
            raise errors.Conflict(f"Action cannot be canceled. State = {execution.status.value}.")
        return msgspec.structs.replace(execution, status=Status.CANCELING)

    async def rerun(self, execution_id: str, **asked: Any) -> Execution:
        """Remember what was asked; hold a new execution."""
        self.get(execution_id)
        self.asked = asked
        return self.add(len(self.held) + 600)

    async def set_status(
        self, execution_id: str, status: str, *, caller: Caller, result: Any = None
    ) -> Execution:
        """Change the state."""
        return msgspec.structs.replace(self.get(execution_id), status=Status(status))

    def output(self, execution_id: str, *, channel: str = "all") -> list[OutputRecord]:
        """Return what was printed."""
        return [record for record in self.printed if channel in ("all", record.output_type)]

    def children(self, execution_id: str, depth: int = -1) -> list[Execution]:
        """Return all others."""
        return [execution for execution in self.held if execution.id != execution_id]


class FakeEvents:
    """Remembers what came in."""

    def __init__(self, content: FakeContent) -> None:
        self._content = content
        self.hooks: list[dict[str, Any]] = []
        self.ingested: list[Event] = []
        self.asked: dict[str, Any] = {}
        self.held = TriggerInstance(
            id=object_id(40), trigger="core.hook", payload={"a": 1}, occurrence_time=NOW
        )
        self.enforced = RuleEnforcement(
            id=object_id(30),
            trigger_instance_id=self.held.id,
            rule={"ref": "default.r"},
            enforced_at=NOW,
            status="succeeded",
        )
        self.traced = Trace(id=object_id(20), uid="trace:x", trace_tag="tag", start_timestamp=NOW)

    async def ingest(self, event: Event) -> Ingested:
        """Take an event of a known trigger."""
        self._content.find("trigger", event.trigger)
        self.ingested.append(event)
        return Ingested(trigger_instance_id=self.held.id, duplicate=False)

    async def webhook(
        self,
        url: str,
        *,
        body: Any,
        headers: Mapping[str, str],
        trace_tag: str = "",
        event_id: str = "",
    ) -> Ingested:
        """Take what was posted to a known hook."""
        self._content.webhook(url)
        self.hooks.append(
            {"url": url, "body": body, "headers": headers, "tag": trace_tag, "id": event_id}
        )
        return Ingested(trigger_instance_id=self.held.id, duplicate=False)

    async def re_emit(self, instance_id: str) -> TriggerInstance:
        """Return the instance again."""
        return self.instance(instance_id)

    def instance(self, instance_id: str) -> TriggerInstance:
        """Return the one instance."""
        if instance_id != self.held.id:
            raise errors.NotFound("no such instance")
        return self.held

    def instances(self, **asked: Any) -> tuple[list[TriggerInstance], int]:
        """Remember what was asked."""
        self.asked = asked
        return [self.held], 1

    def enforcement(self, enforcement_id: str) -> RuleEnforcement:
        """Return the one enforcement."""
        return self.enforced

    def enforcements(self, **asked: Any) -> tuple[list[RuleEnforcement], int]:
        """Remember what was asked."""
        self.asked = asked
        return [self.enforced], 1

    def trace(self, trace_id: str) -> Trace:
        """Return the one trace."""
        return self.traced

    def traces(self, **asked: Any) -> tuple[list[Trace], int]:
        """Remember what was asked."""
        self.asked = asked
        return [self.traced], 1


class FakeBroker:
    """The services by name."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.ids = CountedIds()
        self.store = MemoryStore()
        self.identity = Identity(self.store, self.clock, self.ids, token_ttl_seconds=3600)
        self.keys = Keys(self.store, self.clock, self.ids)
        self.stream = Stream()
        self.content = FakeContent()
        self.executions = FakeExecutions()
        self.events = FakeEvents(self.content)
        self.version = "0.0.1"

    def status(self) -> Mapping[str, Any]:
        """Return nothing of interest."""
        return {"version": self.version}
