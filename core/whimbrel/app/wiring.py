"""Builds the broker: the one place that knows which class stands behind which port."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

import whimbrel
from whimbrel.app.bundle import bundled
from whimbrel.app.config import EMBEDDED, Settings
from whimbrel.app.world import RandomChance, RandomIds, SystemClock
from whimbrel.broker import dispatch, events
from whimbrel.broker.announce import key_announcement, rule_announcement
from whimbrel.broker.application import Broker
from whimbrel.broker.catalog import Change
from whimbrel.broker.content import Content
from whimbrel.broker.dispatch import Dispatcher
from whimbrel.broker.events import Events
from whimbrel.broker.executions import Executions
from whimbrel.broker.identity import Identity
from whimbrel.broker.keys import KeyChange, Keys
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.parameters import Resolver, datastore_user
from whimbrel.broker.requests import RunRequests
from whimbrel.broker.stream import Stream
from whimbrel.broker.views import Versions
from whimbrel.bus.credentials import read_credentials
from whimbrel.bus.nats import NatsBus
from whimbrel.bus.server import EmbeddedServer
from whimbrel.expr import Templates, datastore
from whimbrel.gateway.app import Gateway
from whimbrel.gateway.app import Settings as GatewaySettings
from whimbrel.gateway.endpoint import Mount
from whimbrel.gateway.endpoints import ENDPOINTS
from whimbrel.gateway.grpc import serve_grpc
from whimbrel.gateway.http import Listener, Tls, serve
from whimbrel.host.limits import HostLimits
from whimbrel.host.plugins import PluginHost
from whimbrel.model import timestamp
from whimbrel.store import Op
from whimbrel.store.environment import LmdbOptions
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

SYSTEM_USER = "stanley"
"""Who rules run as; StackStorm's default, so that content which names it works."""


class World(msgspec.Struct, frozen=True):
    """The real clock, identities and chance."""

    clock: SystemClock
    ids: RandomIds
    chance: RandomChance


def real_world() -> World:
    """Return the world as it is."""
    return World(SystemClock(), RandomIds(), RandomChance())


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Broker]:
    """Open everything that a broker needs, and give the broker; close it in reverse order."""
    world = real_world()
    async with AsyncExitStack() as stack:
        store, bus = await _store_and_bus(settings, world, stack)
        host = await stack.enter_async_context(_host(settings, world))
        yield await _broker(settings, world, store, bus, host)


async def _store_and_bus(
    settings: Settings, world: World, stack: AsyncExitStack
) -> tuple[LmdbStore, NatsBus]:
    """Open the store first: it holds the folder's lock, so a second broker stops here."""
    options = LmdbOptions(
        max_size_bytes=settings.store_max_size_bytes, metasync=settings.store_sync == "durable"
    )
    folder = settings.folder / "store"
    master = MasterKeyFile(settings.master_key_file)
    store = await stack.enter_async_context(LmdbStore.open(folder, master, options=options))
    bus = await stack.enter_async_context(await _bus(settings, world, stack))
    return store, bus


async def _bus(settings: Settings, world: World, stack: AsyncExitStack) -> NatsBus:
    if settings.nats == EMBEDDED:
        server = await stack.enter_async_context(
            EmbeddedServer(settings.run_folder, settings.folder / "nats", ids=world.ids)
        )
        return NatsBus(
            server.url, server.credentials, clock=world.clock, make_durable=server.make_durable
        )
    credentials = read_credentials(settings.nats_credentials) if settings.nats_credentials else None
    tls = ssl.create_default_context() if settings.nats.startswith(("tls:", "wss:")) else None
    return NatsBus(settings.nats, credentials, clock=world.clock, tls=tls)


def _host(settings: Settings, world: World) -> PluginHost:
    return PluginHost(
        [bundled("runners"), bundled("sensors"), *settings.plugin_paths],
        clock=world.clock,
        ids=world.ids,
        chance=world.chance,
        environment=os.environ,
        host_version=whimbrel.__version__,
        limits=HostLimits(max_output_bytes=settings.max_output_bytes),
    )


async def _broker(
    settings: Settings, world: World, store: LmdbStore, bus: NatsBus, host: PluginHost
) -> Broker:
    outbox = Outbox(store, bus, world.ids)
    stream = Stream()
    keys = _keys(world, store, outbox)
    templates = Templates()
    content = await _content(settings, world, store, outbox, templates, host)
    identity = Identity(
        store,
        world.clock,
        world.ids,
        users_file=settings.users_file or settings.folder / "users",
        token_ttl_seconds=settings.token_ttl_seconds,
    )
    resolver = Resolver(templates, lambda context: _names(keys, context))
    versions = Versions(store)
    dispatcher = Dispatcher(
        store,
        host,
        outbox,
        stream,
        versions,
        RunRequests(content, resolver, versions, identity, api_url=api_url(settings)),
        world.clock,
        world.ids,
        dispatch.Limits(
            active_max=settings.max_running_executions, queued_max=settings.max_queued_executions
        ),
    )
    executions = Executions(
        store, content, resolver, dispatcher, outbox, versions, world.clock, world.ids
    )
    limits = events.Limits(payload_bytes_max=settings.max_payload_bytes)
    return Broker(
        store=store,
        bus=bus,
        host=host,
        content=content,
        identity=identity,
        keys=keys,
        executions=executions,
        events=Events(
            store,
            content,
            executions,
            outbox,
            keys,
            world.clock,
            world.ids,
            system_user=SYSTEM_USER,
            limits=limits,
        ),
        stream=stream,
        dispatcher=dispatcher,
        outbox=outbox,
        clock=world.clock,
        version=whimbrel.__version__,
        started=world.clock.monotonic(),
    )


def _keys(world: World, store: LmdbStore, outbox: Outbox) -> Keys:
    return Keys(
        store,
        world.clock,
        world.ids,
        outbox=lambda change: _key_ops(outbox, world, change),
        committed=outbox.committed,
    )


async def _content(
    settings: Settings,
    world: World,
    store: LmdbStore,
    outbox: Outbox,
    templates: Templates,
    host: PluginHost,
) -> Content:
    """Load what is registered, and take over what has changed on disk since."""
    content = Content(
        store,
        world.clock,
        world.ids,
        system_packs=bundled("packs"),
        packs_paths=settings.packs_paths,
        outbox=lambda changes: _content_ops(outbox, world, changes),
        templates=templates,
    )
    content.subscribe(lambda _: outbox.committed())
    await content.load()
    await content.sync_runner_types(host.offers())
    await content.register(fail_on_failure=False, only_changed=True)
    return content


def api_url(settings: Settings) -> str:
    """Return the URL at which this machine's own programs reach the API."""
    scheme = "https" if settings.tls_cert else "http"
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  only compared
    return f"{scheme}://{host}:{settings.port}/api/v1"


def _names(keys: Keys, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what every parameter template can use; values are read when a template touches them."""
    user = datastore_user(context, SYSTEM_USER)
    return {"st2kv": datastore(keys, user=user), "config_context": {}}


def _key_ops(outbox: Outbox, world: World, change: KeyChange) -> Sequence[Op]:
    now = timestamp(world.clock.now())
    announced = key_announcement(
        change.item, change.change, message_id=world.ids.object_id(), time=now
    )
    return [outbox.op([announced])]


def _content_ops(outbox: Outbox, world: World, changes: Sequence[Change]) -> Sequence[Op]:
    now = timestamp(world.clock.now())
    announced = [
        rule_announcement(change.item.ref, change.verb, message_id=world.ids.object_id(), time=now)
        for change in changes
        if change.kind == "rule"
    ]
    return [outbox.op(announced)] if announced else []


@asynccontextmanager
async def served(settings: Settings, broker: Broker) -> AsyncIterator[None]:
    """Serve the broker's REST and gRPC APIs until the end of the block."""
    app = Gateway(broker, ENDPOINTS, RandomIds(), _gateway_settings(settings))
    listening = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            serve(_listeners(settings), app, tls=_tls(settings), ready=lambda _: listening.set())
        )
        async with serve_grpc(
            broker,
            settings.run_folder / "api.sock",
            address=_grpc_address(settings),
            tls=_grpc_tls(settings),
        ):
            await listening.wait()
            yield
        serving.cancel()


def _gateway_settings(settings: Settings) -> GatewaySettings:
    return GatewaySettings(
        max_body_bytes=settings.max_body_bytes,
        max_webhook_body_bytes=settings.max_webhook_body_bytes,
        max_stream_clients=settings.max_stream_clients,
        allow_origin=settings.allow_origin,
        auth_cookie_secure=settings.tls_cert is not None,
    )


def _listeners(settings: Settings) -> list[Listener]:
    mounts: tuple[tuple[int | None, Mount], ...] = (
        (settings.auth_port, "auth"),
        (settings.api_port, "api"),
        (settings.stream_port, "stream"),
    )
    return [
        Listener(host=settings.host, port=settings.port),
        *(
            Listener(host=settings.host, port=port, mount=mount)
            for port, mount in mounts
            if port is not None
        ),
    ]


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(certificate=settings.tls_cert, key=settings.tls_key)


def _grpc_address(settings: Settings) -> str:
    return "" if settings.grpc_port is None else f"{settings.host}:{settings.grpc_port}"


def _grpc_tls(settings: Settings) -> tuple[bytes, bytes] | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return settings.tls_key.read_bytes(), settings.tls_cert.read_bytes()
