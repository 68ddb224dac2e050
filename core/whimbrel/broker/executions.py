"""Executions as the application's callers use them: request, find, cancel, run again."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker.announce import execution_announcement
from whimbrel.broker.content import Content
from whimbrel.broker.dispatch import Dispatcher
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.parameters import ParameterError, Resolver
from whimbrel.broker.records import (
    CONTENT_VERSIONS,
    EXECUTIONS,
    NO_PARENT,
    OUTPUTS,
    TRACES,
    ContentVersion,
)
from whimbrel.broker.schema import SchemaViolation
from whimbrel.broker.views import WORKFLOW_RUNNERS, Versions, execution_document
from whimbrel.bus import Announcement
from whimbrel.model import (
    CANCELABLE,
    COMPLETED,
    Caller,
    Execution,
    ExecutionRequest,
    LogEntry,
    OutputRecord,
    Status,
    Trace,
    TraceLink,
    timestamp,
)
from whimbrel.seams import Clock, Ids
from whimbrel.store import Op, Store

LAST = "last"
SCAN_LIMIT = 10_000
"""Records that a listing with several filters looks through before it stops."""

DELAY_MILLISECONDS_MAX = 366 * 86_400_000
"""The longest that an execution can be put off: a year."""

INDEXED = ("action", "user", "rule", "trigger_instance", "status", "parent")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution was started by, beyond a person's request."""

    rule: dict[str, str] | None = None
    trigger: dict[str, Any] | None = None
    trigger_type: dict[str, Any] | None = None
    trigger_instance: dict[str, str] | None = None


class Draft(msgspec.Struct, frozen=True):
    """A new execution with what else has to be written and announced with it."""

    execution: Execution
    version: ContentVersion
    announcements: list[Announcement]


class _TraceContext(msgspec.Struct):
    id_: str | None = None
    trace_tag: str | None = None


class _Parent(msgspec.Struct):
    execution_id: str | None = None


class _Context(msgspec.Struct):
    """What is read of a caller's context; the rest is kept as it is."""

    trace_context: _TraceContext | None = None
    parent: _Parent | None = None


def _check(request: ExecutionRequest) -> None:
    """Refuse what would not be found wrong before the execution is stored."""
    delay = request.delay or 0
    if not 0 <= delay <= DELAY_MILLISECONDS_MAX:
        raise errors.InvalidInput(
            f"must be from 0 to {DELAY_MILLISECONDS_MAX} milliseconds, got {delay}", place="/delay"
        )
    try:
        msgspec.convert(request.context, _Context)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        place = "/context" + path.rstrip("`").replace(".", "/")
        raise errors.InvalidInput(said, place=place) from error


def _placed(error: ParameterError | SchemaViolation) -> errors.InvalidInput:
    """Return the refusal of a parameter with its place, unless the text names the parameter."""
    if isinstance(error, ParameterError):
        path: tuple[str | int, ...] = (error.parameter,) if error.parameter else ()
    else:
        path = error.path
    if not path or any(f"{quote}{path[0]}{quote}" in str(error) for quote in "'\""):
        return error
    return errors.InvalidInput(str(error), place="".join(f"/{p}" for p in ("parameters", *path)))


class Executions:
    """Everything that callers do with executions."""

    def __init__(
        self,
        store: Store,
        content: Content,
        resolver: Resolver,
        dispatcher: Dispatcher,
        outbox: Outbox,
        versions: Versions,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._content = content
        self._resolver = resolver
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._versions = versions
        self._clock = clock
        self._ids = ids

    # -- starting -----------------------------------------------------------------------------------

    async def request(self, request: ExecutionRequest, *, caller: Caller) -> Execution:
        """Accept an execution durably and start it; returns it in its first state.

        Raises `InvalidInput` for an unknown or disabled action and for parameters that do not fit.
        """
        user = request.user or caller.user
        if user != caller.user and not caller.is_admin:
            raise errors.PermissionDenied(f'User "{caller.user}" is not allowed to run as "{user}"')
        self.check_room()
        _check(request)
        try:
            draft = self.draft(request, user=user)
        except errors.NotFound as error:
            raise errors.InvalidInput(str(error)) from error
        except (ParameterError, SchemaViolation) as error:
            raise _placed(error) from error
        trace_op, execution = self._traced(draft.execution)
        traced = msgspec.structs.replace(draft, execution=execution)
        await self.commit([traced], [trace_op])
        return execution

    def check_room(self) -> None:
        """Refuse, as `Unavailable`, when too many executions wait already."""
        self._dispatcher.admit()

    def draft(
        self,
        request: ExecutionRequest,
        *,
        user: str,
        origin: Origin | None = None,
        names: Mapping[str, Any] = MappingProxyType({}),
    ) -> Draft:
        """Check a request and make the execution of it. Nothing is written.

        `names` can be used in the parameters' templates beside the usual ones, as a rule's `trigger`.
        Raises `NotFound` for an unknown action, else `InvalidInput`.
        """
        action = self._content.find("action", request.action)
        runner = self._content.find("runner_type", action.runner_type)
        if not action.enabled:
            raise errors.InvalidInput(f'Unable to execute. Action "{action.ref}" is disabled.')
        if not runner.enabled:
            raise errors.InvalidInput(f'Unable to execute. Runner "{runner.name}" is disabled.')
        context = {**request.context, "user": user, "pack": action.pack}
        parameters = self._resolver.live(action, runner, request.parameters, context, names)
        version = self._versions.of(action, runner)
        now = timestamp(self._clock.now())
        delayed = bool(request.delay)
        origin = origin or Origin()
        execution = Execution(
            id=self._ids.object_id(),
            liveaction_id=self._ids.object_id(),
            action_ref=action.ref,
            action_version=version.key,
            runner_type=runner.name,
            status=Status.DELAYED if delayed else Status.REQUESTED,
            start_timestamp=now,
            parameters=parameters,
            context=context,
            log=(
                LogEntry(Status.REQUESTED, now),
                *((LogEntry(Status.DELAYED, now),) if delayed else ()),
            ),
            parent=(context.get("parent") or {}).get("execution_id"),
            rule=origin.rule,
            trigger=origin.trigger,
            trigger_type=origin.trigger_type,
            trigger_instance=origin.trigger_instance,
            notify=request.notify,
            delay=request.delay or None,
            callback=request.callback,
        )
        return Draft(execution, version, [execution_announcement(execution)])

    async def commit(
        self,
        drafts: Sequence[Draft],
        ops: Sequence[Op] = (),
        announcements: Sequence[Announcement] = (),
    ) -> None:
        """Write new executions with other changes in one commit, then run them."""
        accepted = [self._scheduled(draft) for draft in drafts]
        written = [*ops, *(EXECUTIONS.put(draft.execution) for draft in accepted)]
        fresh = {
            d.version.key: d.version for d in accepted if not self._versions.is_stored(d.version)
        }
        written += [CONTENT_VERSIONS.put(version) for version in fresh.values()]
        announced = [*announcements, *(a for draft in accepted for a in draft.announcements)]
        if announced:
            written.append(self._outbox.op(announced))
        try:
            await self._store.commit(written)
        except BaseException:
            for draft in accepted:
                if draft.execution.status is Status.SCHEDULED:
                    self._dispatcher.release()
            raise
        self._outbox.committed()
        for version in fresh.values():
            self._versions.stored(version)
        for draft in accepted:
            self._dispatcher.told_created(draft.execution)
            self._dispatcher.submit(draft.execution)

    def _scheduled(self, draft: Draft) -> Draft:
        """Let the execution enter `scheduled` in its first commit when a slot is free."""
        execution = draft.execution
        if execution.status is not Status.REQUESTED or not self._dispatcher.reserve():
            return draft
        entry = LogEntry(Status.SCHEDULED, timestamp(self._clock.now()))
        scheduled = msgspec.structs.replace(
            execution, status=Status.SCHEDULED, log=(*execution.log, entry)
        )
        announced = [*draft.announcements, execution_announcement(scheduled)]
        return Draft(scheduled, draft.version, announced)

    def _traced(self, execution: Execution) -> tuple[Op, Execution]:
        asked = execution.context.get("trace_context") or {}
        known = TRACES.get(self._store, asked["id_"]) if asked.get("id_") else None
        link = TraceLink(
            object_id=execution.id, ref=execution.action_ref, updated_at=execution.start_timestamp
        )
        if known is None:
            tag = asked.get("trace_tag") or f"execution-{execution.id}"
            known = self.new_trace(tag, execution.start_timestamp)
        trace = msgspec.structs.replace(known, action_executions=[*known.action_executions, link])
        trace_context = {"id_": trace.id, "trace_tag": trace.trace_tag}
        context = {**execution.context, "trace_context": trace_context}
        return TRACES.put(trace), msgspec.structs.replace(execution, context=context)

    def new_trace(self, tag: str, started: str) -> Trace:
        """Return an empty trace."""
        trace_id = self._ids.object_id()
        return Trace(
            id=trace_id, uid=f"trace:{trace_id}:{tag}", trace_tag=tag, start_timestamp=started
        )

    async def rerun(
        self,
        execution_id: str,
        *,
        parameters: Mapping[str, Any],
        tasks: Sequence[str] = (),
        reset: Sequence[str] = (),
        delay: int | None = None,
        caller: Caller,
    ) -> Execution:
        """Run an execution's action again with its parameters, changed by `parameters`."""
        former = self.get(execution_id)
        if tasks or reset:
            raise errors.InvalidInput(
                f'Running tasks again needs a workflow; "{former.action_ref}" is not one'
            )
        context: dict[str, Any] = {"re-run": {"ref": former.id}}
        if trace := former.context.get("trace_context"):
            context["trace_context"] = trace
        request = ExecutionRequest(
            action=former.action_ref,
            parameters={**former.parameters, **parameters},
            context=context,
            delay=delay,
        )
        return await self.request(request, caller=caller)

    # -- changing -----------------------------------------------------------------------------------

    async def cancel(self, execution_id: str, *, user: str) -> Execution:
        """End an execution. One that is canceled already is returned; raises `Conflict` for others."""
        execution = self.get(execution_id)
        if execution.status in (Status.CANCELED, Status.CANCELING):
            return execution
        if execution.status not in CANCELABLE:
            raise errors.Conflict(f"Action cannot be canceled. State = {execution.status.value}.")
        return await self._dispatcher.cancel(execution, user=user)

    async def set_status(
        self, execution_id: str, status: str, *, caller: Caller, result: Any = None
    ) -> Execution:
        """Ask for another state: `canceling`, or `pausing` and `resuming` of a workflow."""
        execution = self.get(execution_id)
        if execution.status in COMPLETED:
            raise errors.InvalidInput("Execution is already in completed state.")
        if status in (Status.CANCELING, Status.CANCELED):
            return await self.cancel(execution_id, user=caller.user)
        if status in (Status.PAUSING, Status.RESUMING) and (
            execution.runner_type not in WORKFLOW_RUNNERS
        ):
            verb = "pause" if status == Status.PAUSING else "resume"
            raise errors.InvalidInput(
                f"Execution {execution_id} of runner {execution.runner_type} cannot {verb}: "
                "only workflows can"
            )
        raise errors.InvalidInput(
            f'Status "{status}" cannot be asked for. Allowed: canceling, pausing, resuming'
        )

    # -- reading ------------------------------------------------------------------------------------

    def get(self, execution_id: str) -> Execution:
        """Return an execution in its newest state; `last` is the newest one. Raises `NotFound`."""
        if execution_id == LAST:
            newest = EXECUTIONS.page(self._store, limit=1)
            if not newest:
                raise errors.NotFound("No executions found in the database")
            execution_id = newest[0].id
        execution = self._dispatcher.live(execution_id) or EXECUTIONS.get(self._store, execution_id)
        if execution is None:
            raise errors.NotFound(f'Unable to identify resource with id "{execution_id}".')
        return execution

    def find(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        ascending: bool = False,
        timestamp_gt: str | None = None,
        timestamp_lt: str | None = None,
        ids: Sequence[str] = (),
        **filters: str | None,
    ) -> tuple[list[Execution], int]:
        """Return a page of executions, newest first, and how many there are of the first filter.

        Filters: action, user, rule, trigger_instance, status, parent (`null`: top level), runner,
        trigger, trigger_type, liveaction. `limit` -1 means all. The total is exact for at most one
        indexed filter; with more it counts what was found in `SCAN_LIMIT` records.
        """
        wanted = {name: value for name, value in filters.items() if value}
        if ids:
            found = [e for e in map(self._peek, ids) if e is not None]
            return found[offset:], len(found)
        indexed = [(name, wanted[name]) for name in INDEXED if name in wanted]
        index = min(indexed, key=lambda i: self._store.count("execution", index=i), default=None)
        if len(wanted) <= len(indexed[:1]) and not timestamp_gt and not timestamp_lt:
            total = self._store.count("execution", index=index)
            size = total if limit < 0 else limit
            page = EXECUTIONS.page(
                self._store, limit=max(size, 1), offset=offset, index=index, ascending=ascending
            )
            return page, total
        matching = self._scan(wanted, index, ascending, timestamp_gt, timestamp_lt)
        end = None if limit < 0 else offset + limit
        return matching[offset:end], len(matching)

    def _peek(self, execution_id: str) -> Execution | None:
        return self._dispatcher.live(execution_id) or EXECUTIONS.get(self._store, execution_id)

    def _scan(
        self,
        wanted: Mapping[str, str],
        index: tuple[str, str] | None,
        ascending: bool,
        after: str | None,
        before: str | None,
    ) -> list[Execution]:
        page = EXECUTIONS.page(self._store, limit=SCAN_LIMIT, index=index, ascending=ascending)
        return [
            execution
            for execution in page
            if (after is None or execution.start_timestamp > after)
            and (before is None or execution.start_timestamp < before)
            and all(_field(execution, name) == value for name, value in wanted.items())
        ]

    def output(self, execution_id: str, *, channel: str = "all") -> list[OutputRecord]:
        """Return what the execution printed so far, in order."""
        execution_id = self.get(execution_id).id
        live = self._dispatcher.live_output(execution_id)
        total = max(1, self._store.count("output"))
        kept = OUTPUTS.page(self._store, limit=total, prefix=f"{execution_id}/", ascending=True)
        records = {record.id: record for record in (*kept, *live)}
        return [r for r in records.values() if channel in ("all", r.output_type)]

    def children(self, execution_id: str, depth: int = -1) -> list[Execution]:
        """Return the descendants, depth first; `depth` 1 are the children alone, -1 all."""
        parent = self.get(execution_id)
        if depth == 0:
            return []
        index = ("parent", parent.id)
        total = self._store.count("execution", index=index)
        found: list[Execution] = []
        if total:
            page = EXECUTIONS.page(self._store, limit=total, index=index, ascending=True)
            for child in page:
                found += [child, *self.children(child.id, depth - 1)]
        return found

    def document(self, execution: Execution, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return StackStorm's document of an execution, secrets masked unless asked for."""
        version = self._versions.get(execution.action_version)
        return execution_document(execution, version, show_secrets=show_secrets)


def _field(execution: Execution, name: str) -> str | None:
    match name:
        case "action":
            return execution.action_ref
        case "runner":
            return execution.runner_type
        case "user":
            return execution.context.get("user")
        case "parent":
            return execution.parent or NO_PARENT
        case "status":
            return execution.status.value
        case "liveaction":
            return execution.liveaction_id
        case "rule":
            return (execution.rule or {}).get("ref")
        case "trigger":
            return (execution.trigger or {}).get("ref")
        case "trigger_type":
            return (execution.trigger_type or {}).get("ref")
        case "trigger_instance":
            return (execution.trigger_instance or {}).get("id")
        case _:
            return None
