"""A plugin's process: what it says by hand, what it refuses, how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from whimbrel_sdk.plugin import SDK_VERSION
from whimbrel_sdk.serving import COOKIE

PROGRAM = textwrap.dedent(
    """\
    from whimbrel_sdk import Outcome, Plugin, serve

    plugin = Plugin(name="acme", version="1.2.3")

    @plugin.runner("acme.do")
    async def do(run):
        return Outcome.succeeded()

    print("a banner")
    serve(plugin)
    """
)


def started(tmp_path: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start the plugin with these variables."""
    program = tmp_path / "acme.py"
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, program],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def launched(tmp_path: Path) -> "subprocess.Popen[bytes]":
    """Start the plugin as a host does and wait until it is ready."""
    process = started(tmp_path, WHIMBREL_PLUGIN_COOKIE=COOKIE, WHIMBREL_LISTEN=f"unix:{tmp_path}/s")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"WHIMBREL-PLUGIN-1 "):
            return process
    raise AssertionError("the plugin did not get ready")


def test_run_by_hand_it_explains_itself(tmp_path: Path) -> None:
    """Without the cookie it says what it is, binds nothing and exits 64."""
    process = started(tmp_path, WHIMBREL_LISTEN=f"unix:{tmp_path}/s")

    _, said = process.communicate()

    assert 64 == process.returncode
    assert b"acme 1.2.3 is a Whimbrel plugin" in said
    assert b"acme.do" in said
    assert not (tmp_path / "s").exists()


def test_an_address_it_cannot_serve_is_named(tmp_path: Path) -> None:
    """Anything but a short Unix path is refused in words."""
    for address, reason in (
        ("tcp:127.0.0.1:0", b"can listen on unix:/PATH only"),
        ("unix:/" + "x" * 120, b"limited to 100 bytes, got 121"),
    ):
        process = started(tmp_path, WHIMBREL_PLUGIN_COOKIE=COOKIE, WHIMBREL_LISTEN=address)
        _, said = process.communicate()
        assert (64, True) == (process.returncode, reason in said)


def test_sigterm_ends_it_in_good_order(tmp_path: Path) -> None:
    """It exits 0."""
    process = launched(tmp_path)

    process.send_signal(signal.SIGTERM)
    code = process.wait()
    process.communicate()

    assert 0 == code


def test_the_end_of_stdin_ends_it(tmp_path: Path) -> None:
    """Without a host nobody needs it; its process group goes with it."""
    process = launched(tmp_path)

    process.communicate()

    assert -signal.SIGKILL == process.returncode


def test_importing_the_sdk_costs_no_grpc() -> None:
    """Defining a plugin, and testing it, needs no transport."""
    code = "import sys, whimbrel_sdk, whimbrel_sdk.testing; sys.exit('grpc' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_the_version_is_the_distributions() -> None:
    """What the handshake says is what is installed."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"

    assert f'version = "{SDK_VERSION}"' in pyproject.read_text()
