"""The broker's services over stores, bus and plugins that live in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from whimbrel.broker import dispatch, events
from whimbrel.broker.content import Content
from whimbrel.broker.dispatch import Dispatcher
from whimbrel.broker.events import Events
from whimbrel.broker.executions import Executions
from whimbrel.broker.identity import Identity
from whimbrel.broker.keys import Keys
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.parameters import Resolver
from whimbrel.broker.requests import RunRequests
from whimbrel.broker.stream import Stream
from whimbrel.broker.views import Versions
from whimbrel.bus.memory import MemoryBus
from whimbrel.expr import Templates, datastore
from whimbrel.model import Caller, Execution, RunnerOffer
from whimbrel.store import Op, Put
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FakeHost, FixedClock

BUNDLED = Path(__file__).parents[3] / "packs"
ADMIN = Caller(user="admin", method="authentication token")
SHELL_PARAMETERS: dict[str, dict[str, Any]] = {
    "cmd": {"type": "string"},
    "env": {"type": "object"},
    "sudo": {"type": "boolean", "default": False},
    "sudo_password": {"type": "string", "secret": True},
    "timeout": {"type": "integer", "default": 60},
}
OFFERS = (
    RunnerOffer(name="local-shell-cmd", plugin="shell", parameters=SHELL_PARAMETERS),
    RunnerOffer(name="local-shell-script", plugin="shell", parameters=SHELL_PARAMETERS),
    RunnerOffer(name="announcement", plugin="noop"),
    RunnerOffer(name="noop", plugin="noop"),
)


class CountingStore(MemoryStore):
    """A store that keeps what each commit wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[Op]] = []

    async def commit(self, ops: Any) -> int:
        """Apply all ops and remember them."""
        revision = await super().commit(ops)
        self.commits.append(list(ops))
        return revision

    def tables_of(self, commit: int) -> list[str]:
        """Return the tables that a commit wrote to, in order, each once."""
        puts = [op for op in self.commits[commit] if isinstance(op, Put)]
        return sorted({op.table for op in puts})


class Application:
    """Everything that `wiring` puts together, without a process, a file or a socket."""

    def __init__(self, *, limits: events.Limits | None = None, active_max: int = 256) -> None:
        self.clock = FixedClock()
        self.ids = CountedIds()
        self.store = CountingStore()
        self.bus = MemoryBus(self.clock)
        self.host = FakeHost(offers=OFFERS)
        self.outbox = Outbox(self.store, self.bus, self.ids)
        self.stream = Stream()
        self.keys = Keys(
            self.store, self.clock, self.ids, outbox=lambda _: (), committed=lambda: None
        )
        templates = Templates()
        self.content = Content(
            self.store, self.clock, self.ids, system_packs=BUNDLED, templates=templates
        )
        self.identity = Identity(self.store, self.clock, self.ids)
        resolver = Resolver(
            templates,
            lambda _: {"st2kv": datastore(self.keys, user="admin"), "config_context": {}},
        )
        versions = Versions(self.store)
        self.requests = RunRequests(
            self.content, resolver, versions, self.identity, api_url="http://127.0.0.1:1/api/v1"
        )
        self.dispatcher = Dispatcher(
            self.store,
            self.host,
            self.outbox,
            self.stream,
            versions,
            self.requests,
            self.clock,
            self.ids,
            dispatch.Limits(active_max=active_max),
        )
        self.executions = Executions(
            self.store,
            self.content,
            resolver,
            self.dispatcher,
            self.outbox,
            versions,
            self.clock,
            self.ids,
        )
        self.events = Events(
            self.store,
            self.content,
            self.executions,
            self.outbox,
            self.keys,
            self.clock,
            self.ids,
            system_user="stanley",
            limits=limits or events.Limits(),
        )

    async def start(self) -> None:
        """Load the bundled content."""
        await self.content.load()
        await self.content.sync_runner_types(self.host.offers())
        await self.content.register(fail_on_failure=False)
        self.store.commits.clear()

    async def add_rule(self, name: str = "r", url: str = "hook", **changes: Any) -> Any:
        """Create a rule from the webhook `url` to `core.local`."""
        document = {
            "name": name,
            "pack": "default",
            "enabled": True,
            "trigger": {"type": "core.st2.webhook", "parameters": {"url": url}},
            "criteria": {},
            "action": {"ref": "core.local", "parameters": {"cmd": "date"}},
            **changes,
        }
        rule = await self.content.create("rule", document)
        self.store.commits.clear()
        return rule

    async def until(self, done: Callable[[], bool]) -> None:
        """Return once `done` says so."""
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.001)

    async def ended(self, execution_id: str) -> Execution:
        """Return an execution once it has ended."""
        await self.until(
            lambda: (
                self.executions.get(execution_id).end_timestamp is not None
                and self.dispatcher.live(execution_id) is None
            )
        )
        return self.executions.get(execution_id)


def drive(
    scenario: Callable[[Application], Awaitable[None]],
    make: Callable[[], Application] = Application,
) -> None:
    """Run the scenario against a started application."""

    async def run() -> None:
        application = make()
        await application.start()
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            life = tasks.create_task(application.dispatcher.run(ready))
            await ready.wait()
            await scenario(application)
            life.cancel()

    asyncio.run(run())
