"""What a broker can be told. One description of every option: flag, variable, file key, help, reference.

`Settings` is that description; flags, environment variables, file keys and the reference page follow
from its fields. A flag wins over a variable, a variable over the file, the file over the default.
No option holds a secret: passwords, tokens and keys stand in files that an option names.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import yaml

from whimbrel import nesting
from whimbrel.errors import ContentErrors, InvalidInput

DEFAULT_PORT = 9110
DEFAULT_GRPC_PORT = 9111
ST2_PORTS = {"auth_port": 9100, "api_port": 9101, "stream_port": 9102}
FILE_VARIABLE = "WHIMBREL_CONFIG"
FILE_SIZE_BYTES_MAX = 1 << 20
EMBEDDED = "embedded"
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def _meta(group: str, text: str, *, default: str = "", **limits: Any) -> msgspec.Meta:
    """Describe an option; `default` is written where the default depends on the environment."""
    extra = {"group": group, "default": default}
    return msgspec.Meta(description=text, extra=extra, **limits)


def _listening(text: str) -> msgspec.Meta:
    return _meta("Listening", text)


def _bytes(text: str, *, most: int = GIB) -> msgspec.Meta:
    return _meta("Limits", text, ge=KIB, le=most)


_Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a broker was told, checked. Paths are absolute; nothing is opened or made."""

    folder: Annotated[
        Path,
        _meta(
            "Folders",
            "Data folder: store, NATS streams, packs. One broker at a time uses it.",
            default="$XDG_DATA_HOME/whimbrel",
        ),
    ]
    run_folder: Annotated[
        Path,
        _meta(
            "Folders",
            "Sockets of plugins and other things that do not outlive the process.",
            default="$XDG_RUNTIME_DIR/whimbrel, else run in the data folder",
        ),
    ]
    packs_paths: Annotated[
        tuple[Path, ...],
        _meta("Folders", "Folders that hold packs.", default="packs in the data folder"),
    ]
    plugin_paths: Annotated[
        tuple[Path, ...],
        _meta(
            "Folders",
            "Folders that hold plugins, besides the bundled ones.",
            default="plugins in the data folder",
        ),
    ]

    host: Annotated[str, _meta("Listening", "Address to listen on.", min_length=1)] = "127.0.0.1"
    port: Annotated[
        _Port, _listening("Port of the REST API, the stream and the web pages; 0 takes a free one.")
    ] = DEFAULT_PORT
    grpc_port: Annotated[
        _Port | None,
        _listening(
            "Port of the gRPC API; 0 takes a free one, `null` in the file leaves only the socket"
            " `api.sock` of the run folder."
        ),
    ] = DEFAULT_GRPC_PORT
    auth_port: Annotated[
        _Port | None,
        _listening("Extra port that serves /tokens as a StackStorm auth service does."),
    ] = None
    api_port: Annotated[
        _Port | None, _listening("Extra port that serves the API as a StackStorm API service does.")
    ] = None
    stream_port: Annotated[
        _Port | None,
        _listening("Extra port that serves the stream as a StackStorm stream service does."),
    ] = None
    tls_cert: Annotated[Path | None, _listening("Certificate chain (PEM). Needs tls_key.")] = None
    tls_key: Annotated[Path | None, _listening("Private key of the certificate (PEM).")] = None

    nats: Annotated[
        str,
        _meta(
            "Event bus",
            "`embedded` runs a nats-server of its own; a URL (nats://, tls://, ws://, wss://) uses a"
            " server or cluster that is there. Credentials do not belong in the URL.",
            min_length=1,
        ),
    ] = EMBEDDED
    nats_credentials: Annotated[
        Path | None, _meta("Event bus", "Credentials file (.creds) for the NATS server of the URL.")
    ] = None
    nats_memory_bytes: Annotated[
        int,
        _meta(
            "Event bus", "Memory that the embedded nats-server aims at.", ge=16 * MIB, le=64 * GIB
        ),
    ] = 48 * MIB

    users_file: Annotated[
        Path | None,
        _meta(
            "Security",
            "Users and password hashes, one `name:hash` a line (bcrypt or Argon2id).",
        ),
    ] = None
    master_key_file: Annotated[
        Path,
        _meta(
            "Security",
            "Key that wraps the store's data keys. Kept apart from the data folder, so that a copy of"
            " the data alone reveals no secret. Made at the first start.",
            default="$XDG_CONFIG_HOME/whimbrel/master.key",
        ),
    ]
    token_ttl_seconds: Annotated[
        int,
        _meta("Security", "Longest and usual life of a login token.", ge=1, le=10 * 365 * 86400),
    ] = 86400
    allow_origin: Annotated[
        tuple[str, ...],
        _meta("Security", "Origins whose web pages may call the API (CORS)."),
    ] = ()

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _meta("Logging", "Least level that is logged."),
    ] = "info"
    log_format: Annotated[
        Literal["console", "json"],
        _meta("Logging", "`console` is for people, `json` is one object a line."),
    ] = "console"
    dev: Annotated[
        bool,
        _meta("Logging", "Development: reload plugins when their files change, show tracebacks."),
    ] = False

    store_max_size_bytes: Annotated[
        int,
        _meta("Store", "Size that the store's file may grow to.", ge=16 * MIB, le=16 << 40),
    ] = 4 * GIB
    store_sync: Annotated[
        Literal["durable", "relaxed"],
        _meta(
            "Store",
            "`durable` writes through to the disk at each commit; `relaxed` leaves it to the system,"
            " which can lose the last seconds in a power cut (never in a crash of the process).",
        ),
    ] = "durable"

    max_body_bytes: Annotated[
        int, _bytes("Body of an API request; a larger one is answered 413.")
    ] = 16 * MIB
    max_webhook_body_bytes: Annotated[
        int, _bytes("Body of a webhook; a larger one is answered 413.")
    ] = 1 * MIB
    max_payload_bytes: Annotated[
        int, _bytes("Payload of an event from a sensor, NATS or the API.", most=64 * MIB)
    ] = 1 * MIB
    max_output_bytes: Annotated[
        int, _bytes("Output kept of one execution; what follows is cut, and the result says so.")
    ] = 16 * MIB
    max_queued_executions: Annotated[
        int,
        _meta(
            "Limits",
            "Executions that may wait to be run; beyond it new ones are answered 503.",
            ge=1,
            le=10_000_000,
        ),
    ] = 100_000
    max_running_executions: Annotated[
        int, _meta("Limits", "Executions that run at one time; the others wait.", ge=1, le=10_000)
    ] = 256
    max_stream_clients: Annotated[
        int,
        _meta(
            "Limits", "Open event streams; beyond it new ones are answered 503.", ge=1, le=100_000
        ),
    ] = 256


@dataclass(frozen=True, slots=True)
class Option:
    """One option as people meet it. `kind` is `text`, `path`, `paths`, `list`, `integer`, `switch` or `choice`."""

    name: str
    group: str
    kind: str
    help: str
    allowed: str
    default: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The flag of `whimbrel up`, as `--log-level`."""
        return _flag(self.name)

    @property
    def variable(self) -> str:
        """The environment variable, as `WHIMBREL_LOG_LEVEL`."""
        return "WHIMBREL_" + self.name.upper()


def options() -> tuple[Option, ...]:
    """Return every option, in the order of the reference."""
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return tuple(_option(field) for field in info.fields)


def load(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None = None
) -> Settings:
    """Return the settings from flags over environment over file over defaults.

    `flags` holds option names with the values given on the command line (text, bool or a list of
    text); None means not given. `file` is read when given; else the file of `$WHIMBREL_CONFIG`, else
    `$XDG_CONFIG_HOME/whimbrel/whimbrel.yaml` when there is one. Raises ContentErrors, one refusal for
    each bad value, naming the source, the value and what is allowed.
    """
    refusals: list[InvalidInput] = []
    given: dict[str, object] = {}
    for source in _sources(flags, environment, file, refusals):
        for name, (place, value) in source.items():
            try:
                given[name] = _checked(_fields()[name], place, value)
            except InvalidInput as refusal:
                refusals.append(refusal)
    if refusals:
        raise ContentErrors(refusals)
    settings = Settings(**{**_path_defaults(given, environment), **given})  # type: ignore[arg-type]  # checked one by one above
    _check_together(settings)
    return settings


def render_reference() -> str:
    """Return the reference page of all options as Markdown."""
    short = " ".join(f"{_flag(name)} {port}" for name, port in ST2_PORTS.items())
    lines = [
        "# Configuration",
        "",
        "An option is given as a flag of `whimbrel up`, as an environment variable or as a key of",
        f"`whimbrel.yaml` (`--config FILE`, `${FILE_VARIABLE}`, else",
        "`$XDG_CONFIG_HOME/whimbrel/whimbrel.yaml`). A flag wins over a variable, a variable over the",
        "file. An unknown key is an error. No option holds a secret: passwords, tokens and keys stand",
        "in files that an option names.",
        "",
        f"`whimbrel up --st2-ports` is short for `{short}`.",
    ]
    group = ""
    for option in options():
        if option.group != group:
            group = option.group
            lines += ["", f"## {group}", "", "| Key, variable | Default | Allowed | Meaning |"]
            lines.append("|---|---|---|---|")
        lines.append(
            f"| `{option.name}`<br>`{option.variable}` | {option.default} | {option.allowed}"
            f" | {option.help} |"
        )
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ reading the sources
@dataclass(frozen=True, slots=True)
class _Given:
    """A value with the place that it was given at, and the folder that its relative paths start from."""

    text: str
    folder: Path


_Source = dict[str, tuple[_Given, object]]


def _sources(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Path | None,
    refusals: list[InvalidInput],
) -> Sequence[_Source]:
    """Return file, environment and flags, weakest first."""
    here = Path.cwd()
    from_file: _Source = {}
    chosen = file or _file_of(environment)
    if chosen is not None:
        from_file = _read_file(chosen, refusals)
    from_environment: _Source = {
        option.name: (_Given(option.variable, here), environment[option.variable])
        for option in options()
        if environment.get(option.variable)
    }
    by_name = {option.name: option for option in options()}
    from_flags: _Source = {
        name: (_Given(by_name[name].flag, here), value)
        for name, value in flags.items()
        if value is not None
    }
    return (from_file, from_environment, from_flags)


def _file_of(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    usual = _config_home(environment) / "whimbrel.yaml"
    return usual if usual.is_file() else None


def _read_file(file: Path, refusals: list[InvalidInput]) -> _Source:
    """Return the file's pairs; refusals of single keys are collected, an unreadable file is raised."""
    found: _Source = {}
    for key, line, value in _yaml_pairs(file):
        place = f"{file}:{line}"
        if key not in _fields():
            near = difflib.get_close_matches(key, list(_fields()), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            refusals.append(InvalidInput(f"there is no option {key!r}{hint}", place=place))
        elif key in found:
            refusals.append(InvalidInput(f"{key} is given twice", place=place))
        else:
            found[key] = (_Given(f"{place}: {key}", file.resolve().parent), value)
    return found


def _yaml_pairs(file: Path) -> list[tuple[str, int, object]]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", place=str(file)) from error
    if len(data) > FILE_SIZE_BYTES_MAX:
        raise InvalidInput(
            f"is limited to {FILE_SIZE_BYTES_MAX} bytes, got {len(data)}", place=str(file)
        )
    if (line := nesting.too_deep(data)) is not None:
        raise InvalidInput(f"nests deeper than {nesting.DEPTH_MAX} levels", place=f"{file}:{line}")
    try:
        return _mapping_pairs(yaml.CSafeLoader(data), str(file))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        problem = getattr(error, "problem", None) or "it is not readable text"
        raise InvalidInput(f"not YAML: {problem}", place=place) from error


def _mapping_pairs(loader: yaml.CSafeLoader, place: str) -> list[tuple[str, int, object]]:
    node = loader.get_single_node()
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise InvalidInput("must be a mapping of option names to values", place=place)
    return [
        (
            str(key.value),
            key.start_mark.line + 1,
            loader.construct_object(value, deep=True),
        )
        for key, value in node.value
    ]


# ------------------------------------------------------------------ checking
def _fields() -> dict[str, msgspec.inspect.Field]:
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return {field.name: field for field in info.fields}


def _checked(field: msgspec.inspect.Field, given: _Given, value: object) -> object:
    """Return the value in the option's type, or raise InvalidInput with what is allowed."""
    option = _option(field)
    shaped: object = value
    if option.kind in {"paths", "list"} and isinstance(value, str):
        shaped = [
            part for part in value.split(os.pathsep if option.kind == "paths" else ",") if part
        ]

    def decode(kind: type, raw: object) -> object:
        if kind is not Path or not isinstance(raw, str) or not raw:
            raise ValueError("a path")
        return Path(os.path.normpath(given.folder / Path(raw).expanduser()))

    annotation = Settings.__annotations__[field.name]
    try:
        converted = msgspec.convert(
            shaped, annotation, strict=not isinstance(value, str), dec_hook=decode
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"must be {option.allowed}, got {value!r}", place=given.text) from error
    if field.name == "nats":
        _check_nats(str(converted), given.text)
    return converted


def _check_nats(value: str, place: str) -> None:
    if value == EMBEDDED:
        return
    url = urlsplit(value)
    if url.scheme not in {"nats", "tls", "ws", "wss"} or not url.hostname:
        raise InvalidInput(
            f"must be `{EMBEDDED}` or a URL as nats://host:4222, got {value!r}", place=place
        )
    if url.username or url.password:
        raise InvalidInput(
            "the URL must not hold credentials; put them in the nats_credentials file", place=place
        )


def _check_together(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        lone = "tls_cert" if settings.tls_key is None else "tls_key"
        raise InvalidInput("tls_cert and tls_key are given together or not at all", place=lone)
    if settings.nats == EMBEDDED and settings.nats_credentials is not None:
        raise InvalidInput(
            "the embedded server makes its own credentials; give a URL with --nats",
            place="nats_credentials",
        )
    names = ("port", "grpc_port", *ST2_PORTS)
    taken: dict[int, str] = {}
    for name in names:
        port: int | None = getattr(settings, name)
        if port and port in taken:
            raise InvalidInput(f"port {port} is already that of {taken[port]}", place=name)
        if port:
            taken[port] = name


# ------------------------------------------------------------------ defaults and description
def _config_home(environment: Mapping[str, str]) -> Path:
    home = environment.get("HOME") or str(Path.home())
    return Path(environment.get("XDG_CONFIG_HOME") or f"{home}/.config") / "whimbrel"


def _path_defaults(
    given: Mapping[str, object], environment: Mapping[str, str]
) -> dict[str, object]:
    home = environment.get("HOME") or str(Path.home())
    data_home = Path(environment.get("XDG_DATA_HOME") or f"{home}/.local/share")
    folder = given.get("folder", data_home / "whimbrel")
    assert isinstance(folder, Path)
    runtime = environment.get("XDG_RUNTIME_DIR")
    # A folder of its own gets sockets of its own, or two brokers of one user would meet in one.
    usual_folder = "folder" not in given
    return {
        "folder": folder,
        "run_folder": Path(runtime) / "whimbrel" if runtime and usual_folder else folder / "run",
        "packs_paths": (folder / "packs",),
        "plugin_paths": (folder / "plugins",),
        "master_key_file": _config_home(environment) / "master.key",
    }


def _option(field: msgspec.inspect.Field) -> Option:
    meta = field.type
    assert isinstance(meta, msgspec.inspect.Metadata)
    extra = meta.extra or {}
    kind, allowed, choices = _shape(meta.type)
    text = (meta.extra_json_schema or {}).get("description", "")
    return Option(
        name=field.name,
        group=str(extra["group"]),
        kind=kind,
        help=str(text),
        allowed=allowed,
        default=str(extra["default"]) or _written(field.default),
        choices=choices,
    )


def _shape(kind: msgspec.inspect.Type) -> tuple[str, str, tuple[str, ...]]:
    """Return the kind of value, what is allowed in words, and the choices."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return _shape(inner)
        case msgspec.inspect.UnionType(types=members):
            (inner,) = (m for m in members if not isinstance(m, msgspec.inspect.NoneType))
            return _shape(inner)
        case msgspec.inspect.BoolType():
            return ("switch", "true or false", ())
        case msgspec.inspect.IntType(ge=least, le=most):
            return ("integer", f"a whole number from {least} to {most}", ())
        case msgspec.inspect.LiteralType(values=values):
            names = tuple(str(value) for value in values)
            return ("choice", " or ".join(names), names)
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.CustomType()):
            return ("paths", f"a list of paths (in text, parted by `{os.pathsep}`)", ())
        case msgspec.inspect.VarTupleType():
            return ("list", "a list of text (in text, parted by `,`)", ())
        case msgspec.inspect.CustomType():
            return ("path", "a path", ())
        case _:
            return ("text", "text", ())


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _written(default: object) -> str:
    match default:
        case bool():
            return "true" if default else "false"
        case None:
            return "off"
        case ():
            return "none"
        case _:
            return str(default)


__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_PORT",
    "EMBEDDED",
    "ST2_PORTS",
    "Option",
    "Settings",
    "load",
    "options",
    "render_reference",
]
