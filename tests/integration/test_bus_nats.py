"""The bus on servers that it did not start: logins, TLS, old versions, silence."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import nats
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nats.aio.msg import Msg
from whimbrel.app.world import RandomIds, SystemClock
from whimbrel.bus import Announcement, BusDown, Inbound
from whimbrel.bus.credentials import Credentials, new_seed, public_key, read_credentials
from whimbrel.bus.nats import NatsBus
from whimbrel.bus.server import find_program
from whimbrel.errors import InvalidInput, PermissionDenied, Unauthenticated, WhimbrelError

ENOUGH_SECONDS = 20
PACK = Announcement("whimbrel.pack.loaded.core", "m", b"{}")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario, with an end."""

    async def bounded() -> None:
        async with asyncio.timeout(ENOUGH_SECONDS):
            await scenario()

    asyncio.run(bounded())


@asynccontextmanager
async def external(folder: Path, **settings: object) -> AsyncIterator[str]:
    """Run a server of somebody else with these settings; give its address."""
    config = {"listen": "127.0.0.1:-1", "ports_file_dir": str(folder), **settings}
    if "jetstream" not in settings:
        config["jetstream"] = {"store_dir": str(folder)}
    path = folder / "external.conf"
    path.write_bytes(msgspec.json.encode({k: v for k, v in config.items() if v is not None}))
    with subprocess.Popen([find_program(), "-c", path], stderr=subprocess.DEVNULL) as server:
        try:
            yield await address(folder, server.pid)
        finally:
            server.terminate()
            server.wait()


async def address(folder: Path, pid: int) -> str:
    """Return `host:port` once the server has written it."""
    while True:
        for path in folder.glob(f"*_{pid}.ports"):
            if text := path.read_text():
                url: str = msgspec.json.decode(text)["nats"][0]
                return url.rpartition("//")[2]
        await asyncio.sleep(0.005)


@asynccontextmanager
async def speaking(lines: bytes) -> AsyncIterator[str]:
    """Run a server that says `lines` to whoever connects and nothing else; give its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines)
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def bus_at(
    url: str, credentials: Credentials | None = None, tls: ssl.SSLContext | None = None
) -> NatsBus:
    """Return a bus on a server with this URL."""
    return NatsBus(url, credentials, clock=SystemClock(), tls=tls)


async def refusal_of(bus: NatsBus, kind: type[WhimbrelError]) -> str:
    """Return what the bus says when it cannot be entered."""
    with pytest.raises(kind) as refused:
        await bus.__aenter__()
    return str(refused.value)


def test_no_server_is_said_with_the_url() -> None:
    """The first thing to get wrong is the address."""

    async def scenario() -> None:
        said = await refusal_of(bus_at("nats://127.0.0.1:1"), BusDown)
        assert said.startswith("nats://127.0.0.1:1: no NATS server answers")
        assert "Connect call failed" in said

    run(scenario)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:4222", "http://host", "nats://", "nats://a,tls://b", "ws://host:80"]
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    """Only nats:// and tls:// are meant to work, and a cluster's URLs alike."""
    with pytest.raises(InvalidInput, match="nats://host:port or tls://host:port"):
        bus_at(url)


def test_a_login_in_the_url_is_refused_unseen() -> None:
    """A URL gets logged; a password may not."""
    with pytest.raises(InvalidInput, match="credentials file") as refused:
        bus_at("nats://ann:hunter2@host:4222")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "credentials", [None, Credentials(origin="file x", user="a", password="b")]
)
def test_a_refused_login_is_said(tmp_path: Path, credentials: Credentials | None) -> None:
    """What was tried is in the error, by its origin."""

    async def scenario() -> None:
        users = {"users": [{"user": "ann", "password": "secret"}]}
        async with external(tmp_path, authorization=users) as place:
            said = await refusal_of(bus_at(f"nats://{place}", credentials), Unauthenticated)
            assert said.endswith("with file x" if credentials else "with no credentials")

    run(scenario)


def test_a_password_from_a_file_works(tmp_path: Path) -> None:
    """One line `user:password`."""
    (tmp_path / "login").write_text("ann:secret\n")

    async def scenario() -> None:
        users = {"users": [{"user": "ann", "password": "secret"}]}
        async with (
            external(tmp_path, authorization=users) as place,
            bus_at(f"nats://{place}", read_credentials(tmp_path / "login")) as bus,
        ):
            await bus.announce([PACK])

    run(scenario)


def test_a_narrow_user_is_enough(tmp_path: Path) -> None:
    """The permissions that the module names suffice for announcing and receiving."""
    seed = new_seed(RandomIds())
    (tmp_path / "seed").write_text(seed)
    broker = {
        "nkey": public_key(seed),
        "permissions": {
            "publish": ["whimbrel.>", "$JS.API.>", "$JS.ACK.>"],
            "subscribe": ["_WHIMBREL.>"],
        },
    }
    others = {"user": "ann", "password": "secret"}
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def scenario() -> None:
        async with (
            external(tmp_path, authorization={"users": [broker, others]}) as place,
            bus_at(f"nats://{place}", read_credentials(tmp_path / "seed")) as bus,
            await nats.connect(f"nats://{place}", user="ann", password="secret") as client,
            asyncio.TaskGroup() as tasks,
        ):
            await bus.announce([PACK])
            receiver = tasks.create_task(bus.receive(accepted.put))
            await client.jetstream().publish("whimbrel.event.a", b"x", timeout=5)
            assert (await accepted.get()).data == b"x"
            receiver.cancel()

    run(scenario)


def test_a_server_without_jetstream_is_said(tmp_path: Path) -> None:
    """Core NATS alone keeps nothing."""

    async def scenario() -> None:
        async with external(tmp_path, jetstream=None) as place:
            said = await refusal_of(bus_at(f"nats://{place}"), BusDown)
            assert "JetStream is not enabled" in said

    run(scenario)


def test_an_old_jetstream_is_refused(tmp_path: Path) -> None:
    """What does not tell its API level ignores what it does not know."""

    async def answer(message: Msg) -> None:
        await message.respond(b'{"api": {"level": 1}}')

    async def scenario() -> None:
        async with (
            external(tmp_path, jetstream=None) as place,
            await nats.connect(f"nats://{place}") as old,
        ):
            await old.subscribe("$JS.API.INFO", cb=answer)
            for _ in range(2):  # the client's first PING may overtake its SUB
                await old.flush()
            said = await refusal_of(bus_at(f"nats://{place}"), InvalidInput)
            assert "JetStream's API level is 1; at least 2 is needed" in said

    run(scenario)


def test_a_foreign_stream_in_the_way_is_said(tmp_path: Path) -> None:
    """What JetStream answers is passed on."""

    async def scenario() -> None:
        async with (
            external(tmp_path) as place,
            await nats.connect(f"nats://{place}") as client,
        ):
            await client.jetstream().add_stream(name="OTHERS", subjects=["whimbrel.>"])
            said = await refusal_of(bus_at(f"nats://{place}"), BusDown)
            assert "STREAM.CREATE.WHIMBREL_ANNOUNCE: subjects overlap" in said

    run(scenario)


def test_what_is_not_nats_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program on the port, or one that says nothing, costs a bounded time."""
    monkeypatch.setattr("whimbrel.bus.link.CONNECT_SECONDS", 0.05)

    async def scenario() -> None:
        for lines in (b"", b"SSH-2.0-OpenSSH\r\n", b"INFO {broken\r\n"):
            async with speaking(lines) as place:
                assert "no NATS server answers" in await refusal_of(
                    bus_at(f"nats://{place}"), BusDown
                )

    run(scenario)


def test_two_brokers_share_the_events(tmp_path: Path) -> None:
    """In a cluster each event goes to one of the brokers."""
    first: list[bytes] = []
    second: list[bytes] = []
    count = asyncio.Semaphore(0)

    def into(seen: list[bytes]) -> Callable[[Inbound], Awaitable[None]]:
        async def accept(inbound: Inbound) -> None:
            seen.append(inbound.data)
            count.release()

        return accept

    async def scenario() -> None:
        async with (
            external(tmp_path) as place,
            bus_at(f"nats://{place}") as one,
            bus_at(f"nats://{place}") as other,
            await nats.connect(f"nats://{place}") as client,
            asyncio.TaskGroup() as tasks,
        ):
            receivers = [
                tasks.create_task(one.receive(into(first))),
                tasks.create_task(other.receive(into(second))),
            ]
            for number in range(64):
                await client.jetstream().publish("whimbrel.event.a", b"%d" % number, timeout=5)
            for _ in range(64):
                await count.acquire()
            for receiver in receivers:
                receiver.cancel()
        assert sorted(int(data) for data in first + second) == list(range(64))

    run(scenario)


def certificate(folder: Path) -> dict[str, str]:
    """Write a certificate for 127.0.0.1 with its key; return nats-server's settings for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = SystemClock().now() - timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}


def test_tls_is_spoken(tmp_path: Path) -> None:
    """With tls:// the server's certificate is checked, and the bus works."""
    settings = certificate(tmp_path)

    async def scenario() -> None:
        async with external(tmp_path, tls=settings) as place:
            url = f"tls://localhost:{place.rpartition(':')[2]}"
            trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
            async with bus_at(url, tls=trusting) as bus:
                await bus.announce([PACK])
            said = await refusal_of(bus_at(url), BusDown)
            assert "certificate verify failed" in said.lower()

    run(scenario)


def test_tls_is_not_given_up_silently(tmp_path: Path) -> None:
    """A server without TLS does not get the password of a tls:// URL."""
    login = Credentials(origin="file x", user="ann", password="hunter2")
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576}\r\n')
        while data := await reader.read(1024):
            heard.extend(data)
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await refusal_of(bus_at(f"tls://127.0.0.1:{port}", login), PermissionDenied)
        assert b"hunter2" not in heard

    run(scenario)
