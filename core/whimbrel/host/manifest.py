"""`plugin.yaml`: what a plugin is and offers. Reading it runs nothing."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from whimbrel import errors
from whimbrel.host.marked_yaml import MarkedDocument
from whimbrel.model import RunnerOffer

FILE_NAME = "plugin.yaml"
FILE_BYTES = 256 * 1024
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
MSGSPEC_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$")
MSGSPEC_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")


class RunnerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A runner type in a manifest. `parameters` are StackStorm's `runner_parameters`."""

    name: str
    description: str = ""
    aliases: tuple[str, ...] = ()
    parameters: dict[str, dict[str, Any]] = {}
    output_key: str | None = None
    output_schema: dict[str, Any] | None = None
    max_concurrency: int = 0
    default_timeout: float = 60
    idempotent: bool = False
    can_cancel: bool = True
    can_attach: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `plugin.yaml` may say. Times are in seconds; `idle_timeout` 0 is never.

    `command`'s first word `python` is the broker's own interpreter; the plugin's folder is the
    working directory. `env` names further variables that the plugin may see of the broker's own.
    """

    name: str
    kind: Literal["runner", "sensor"]
    version: str
    command: tuple[str, ...]
    description: str = ""
    transport: Literal["grpc"] = "grpc"
    protocols: tuple[int, ...] = (1,)
    runners: tuple[RunnerEntry, ...] = ()
    start_timeout: float = 30
    stop_grace: float = 5
    min_instances: int = 0
    idle_timeout: float = 300
    env: tuple[str, ...] = ()


class InstalledPlugin(msgspec.Struct, frozen=True):
    """A plugin that was found, and the folder it stands in."""

    manifest: Manifest
    folder: Path

    @property
    def offers(self) -> tuple[RunnerOffer, ...]:
        """The runner types it declares."""
        return tuple(
            RunnerOffer(
                name=entry.name,
                plugin=self.manifest.name,
                description=entry.description,
                aliases=entry.aliases,
                parameters=entry.parameters,
                output_key=entry.output_key,
                output_schema=entry.output_schema,
                max_concurrency=entry.max_concurrency,
                default_timeout_seconds=entry.default_timeout,
                idempotent=entry.idempotent,
                can_cancel=entry.can_cancel,
                can_attach=entry.can_attach,
            )
            for entry in self.manifest.runners
        )


class RefusedPlugin(msgspec.Struct, frozen=True):
    """A folder whose manifest is wrong; `reason` begins with file and line."""

    folder: Path
    reason: str


class Discovery(msgspec.Struct, frozen=True):
    """What was found, by name, and what was refused."""

    plugins: tuple[InstalledPlugin, ...]
    refused: tuple[RefusedPlugin, ...]


def discover(folders: Sequence[Path]) -> Discovery:
    """Read `<folder>/*/plugin.yaml`. A wrong manifest is reported and the others still load.

    A plugin or runner name that an earlier one has is refused; folders count in the order given.
    """
    plugins: list[InstalledPlugin] = []
    refused: list[RefusedPlugin] = []
    taken: dict[str, Path] = {}
    for file in (file for folder in folders for file in sorted(folder.glob(f"*/{FILE_NAME}"))):
        try:
            plugin = InstalledPlugin(read_manifest(file), file.parent.resolve())
            _take_names(plugin, file, taken)
        except errors.InvalidInput as error:
            refused.append(RefusedPlugin(file.parent, str(error)))
        else:
            plugins.append(plugin)
    return Discovery(tuple(plugins), tuple(refused))


def read_manifest(file: Path) -> Manifest:
    """Return the manifest in `file`; raise InvalidInput with file, line and what is allowed."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise errors.InvalidInput(f"cannot be read: {error.strerror}", place=str(file)) from error
    if len(content) > FILE_BYTES:
        raise errors.LimitExceeded(
            f"{file}: a manifest", value=len(content), maximum=FILE_BYTES, unit="bytes"
        )
    document = MarkedDocument(content, name=str(file))
    _refuse_unknown_keys(document)
    try:
        manifest = msgspec.convert(document.value, Manifest)
    except msgspec.ValidationError as error:
        raise _refusal(document, str(error)) from error
    _check(manifest, document, file.parent.name)
    return manifest


def _refuse_unknown_keys(document: MarkedDocument) -> None:
    levels: list[tuple[tuple[str | int, ...], object, type[msgspec.Struct]]] = [
        ((), document.value, Manifest)
    ]
    runners = document.value.get("runners")
    if isinstance(runners, list):
        levels += [(("runners", n), entry, RunnerEntry) for n, entry in enumerate(runners)]
    for path, value, kind in levels:
        if isinstance(value, dict):
            allowed = kind.__struct_fields__
            for key in value:
                if key not in allowed:
                    message = f"unknown key; allowed are {', '.join(sorted(allowed))}"
                    raise document.refusal((*path, key), message)


def _refusal(document: MarkedDocument, message: str) -> errors.InvalidInput:
    """Turn msgspec's `... - at `$.runners[0].name`` into the place in the file."""
    found = MSGSPEC_PATH.search(message)
    if found is None:
        return document.refusal((), message)
    steps = MSGSPEC_STEP.finditer(found["path"])
    path = tuple(step["key"] or int(step["index"]) for step in steps)
    return document.refusal(path, message[: found.start()])


def _check(manifest: Manifest, document: MarkedDocument, folder: str) -> None:
    if manifest.name != folder:
        raise document.refusal(("name",), f"must be the folder's name {folder!r}")
    if not NAME.fullmatch(manifest.name):
        raise document.refusal(("name",), f"must match {NAME.pattern}, found {manifest.name!r}")
    if not VERSION.fullmatch(manifest.version):
        found = manifest.version
        raise document.refusal(("version",), f"must be a semantic version, found {found!r}")
    if not manifest.command or not all(manifest.command):
        raise document.refusal(("command",), "must name a program")
    if manifest.kind == "runner" and not manifest.runners:
        raise document.refusal((), "a runner plugin declares at least one entry in runners")
    if manifest.kind == "sensor" and manifest.runners:
        raise document.refusal(("runners",), "only a plugin of kind runner has runners")
    for key in ("start_timeout", "stop_grace"):
        if getattr(manifest, key) <= 0:
            raise document.refusal((key,), "must be more than 0 seconds")
    if manifest.idle_timeout < 0:
        raise document.refusal(("idle_timeout",), "must be 0 (never) or more seconds")
    if manifest.min_instances not in {0, 1}:
        raise document.refusal(("min_instances",), "must be 0 or 1: a plugin is one process")
    for number, entry in enumerate(manifest.runners):
        _check_runner(entry, document, number)


def _check_runner(entry: RunnerEntry, document: MarkedDocument, number: int) -> None:
    place = ("runners", number)
    for name in (entry.name, *entry.aliases):
        if not NAME.fullmatch(name):
            key = "name" if name == entry.name else "aliases"
            raise document.refusal((*place, key), f"must match {NAME.pattern}, found {name!r}")
    if entry.max_concurrency < 0:
        raise document.refusal((*place, "max_concurrency"), "must be 0 (no limit) or more")
    if entry.default_timeout <= 0:
        raise document.refusal((*place, "default_timeout"), "must be more than 0 seconds")


def _take_names(plugin: InstalledPlugin, file: Path, taken: dict[str, Path]) -> None:
    names = [f"plugin {plugin.manifest.name!r}"]
    for entry in plugin.manifest.runners:
        names += [f"runner {name!r}" for name in (entry.name, *entry.aliases)]
    for position, name in enumerate(names):
        if name in taken or name in names[:position]:
            other = taken.get(name, file)
            raise errors.InvalidInput(f"{name} is declared already by {other}", place=f"{file}:1")
    taken.update(dict.fromkeys(names, file))
