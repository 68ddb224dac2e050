"""Which server, with which credentials: flags over environment over configuration file over defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from whimbrel.cli import credentials
from whimbrel.cli.failures import Usage
from whimbrel.cli.shell import Shell

DEFAULT_URL = "http://127.0.0.1:9110"
DEFAULT_VERSION = "v1"
# A StackStorm base address without a port stands for the three ports of its three services.
ST2_PORTS = {"auth": 9100, "api": 9101, "stream": 9102}
YES = {"1", "true", "yes", "y", "on"}
NO = {"0", "false", "no", "n", "off"}
MASK = "********"


class Target(NamedTuple):
    """A server as a command needs it. `cacert` is a path, `off`, or empty for the system's own."""

    api_url: str
    auth_url: str
    stream_url: str
    cacert: str = ""
    basic_auth: str = ""
    token: str = ""
    api_key: str = ""
    username: str = ""
    password: str = ""
    timezone: str = "UTC"
    cache_token: bool = True
    config_file: Path = Path()

    @property
    def config_home(self) -> Path:
        """The folder of the configuration file, where the tokens are kept as well."""
        return self.config_file.parent


def resolve(flags: Mapping[str, Any], shell: Shell, values: Mapping[str, Any]) -> Target:
    """Return the server; `values` are the command's own, for its token and API key."""
    sections, config_file = _configuration(flags, shell)
    found = _Sources(flags, shell.environment, sections)
    urls = _urls(found)
    return Target(
        api_url=urls["api"],
        auth_url=urls["auth"],
        stream_url=urls["stream"],
        cacert=_cacert(found.get("cacert", "CACERT", "general")),
        basic_auth=found.get("basic_auth", "", "credentials"),
        token=str(values.get("token") or "") or found.variable("AUTH_TOKEN"),
        api_key=str(values.get("api_key") or "")
        or found.variable("API_KEY")
        or found.entry("credentials", "api_key"),
        username=found.entry("credentials", "username"),
        password=found.entry("credentials", "password"),
        timezone=found.entry("cli", "timezone") or "UTC",
        cache_token=found.entry("cli", "cache_token").lower() not in NO,
        config_file=config_file,
    )


def print_config(flags: Mapping[str, Any], shell: Shell) -> int:
    """Print what is in use, secrets masked, and return 3."""
    target = resolve(flags, shell, {})
    for name, value in target._asdict().items():
        secret = name in {"token", "api_key", "password", "basic_auth"} and value
        shell.say(f"{name} = {MASK if secret else value}")
    return 3


class _Sources:
    """Where a value may come from, strongest first."""

    def __init__(
        self,
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        sections: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._flags = flags
        self._environment = environment
        self._sections = sections

    def get(self, key: str, variable: str, section: str, entry: str = "") -> str:
        """Return the value of a flag, a variable or an entry; empty when nobody gives it."""
        flag = self._flags.get(key)
        if flag:
            return str(flag)
        return (self.variable(variable) if variable else "") or self.entry(section, entry or key)

    def flag(self, key: str) -> str:
        """Return the flag's value, or empty."""
        return str(self._flags.get(key) or "")

    def variable(self, name: str) -> str:
        """Return the variable under our prefix, else under StackStorm's."""
        return (
            self._environment.get(f"WHIMBREL_{name}") or self._environment.get(f"ST2_{name}") or ""
        )

    def own(self, name: str) -> str:
        """Return the variable under our prefix."""
        return self._environment.get(f"WHIMBREL_{name}", "")

    def st2(self, name: str) -> str:
        """Return the variable under StackStorm's prefix."""
        return self._environment.get(f"ST2_{name}", "")

    def entry(self, section: str, key: str) -> str:
        """Return the entry of the configuration file, or empty."""
        return self._sections.get(section, {}).get(key, "")


def _configuration(
    flags: Mapping[str, Any], shell: Shell
) -> tuple[Mapping[str, Mapping[str, str]], Path]:
    """Return the sections of the configuration file, and its path."""
    environment = shell.environment
    named = str(flags.get("config_file") or "")
    for variable in ("WHIMBREL_CONFIG_FILE", "ST2_CONFIG_FILE"):
        named = named or environment.get(variable, "")
    path = Path(named).expanduser() if named else credentials.home(environment) / "config"
    skipped = flags.get("skip_config") or any(
        environment.get(name, "").lower() in YES
        for name in ("WHIMBREL_CLI_SKIP_CONFIG", "ST2_CLI_SKIP_CONFIG")
    )
    if skipped:
        return {}, path
    sections = credentials.read_config(path, required=bool(named))
    if sections.get("credentials", {}).get("password") and credentials.is_open(path):
        shell.note(f"WARNING: others can read {path}, which holds a password: chmod 600 {path}")
    return sections, path


def _urls(found: _Sources) -> dict[str, str]:
    """Return the three addresses, each from the strongest source that tells it."""
    version = found.get("api_version", "API_VERSION", "general") or DEFAULT_VERSION
    return {part: _checked(_url(found, part, version)) for part in ST2_PORTS}


def _url(found: _Sources, part: str, version: str) -> str:
    """Return one address. A source tells it alone, or as the base of all three."""
    key, variable = f"{part}_url", f"{part.upper()}_URL"
    st2_base = found.st2("BASE_URL")
    candidates = (
        found.flag(key),
        _of_base(found.flag("url"), part, version),
        found.own(variable),
        _of_base(found.own("URL"), part, version),
        found.st2(variable),
        _of_st2_base(st2_base, part, version) if st2_base else "",
        found.entry(part, "url"),
        _of_base(found.entry("general", "base_url"), part, version),
        _of_base(DEFAULT_URL, part, version),
    )
    return next(candidate for candidate in candidates if candidate)


def _of_base(base: str, part: str, version: str) -> str:
    return f"{base.rstrip('/')}/{part}/{version}" if base else ""


def _of_st2_base(base: str, part: str, version: str) -> str:
    authority = base.partition("://")[2].rstrip("/")
    if ":" in authority.rpartition("]")[2]:
        return _of_base(base, part, version)
    suffix = "" if part == "auth" else f"/{version}"
    return f"{base.rstrip('/')}:{ST2_PORTS[part]}{suffix}"


def _checked(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in {"http", "https"} or not rest:
        raise Usage(f"an address must look like http://host:port, got {url!r}")
    return url.rstrip("/")


def _cacert(value: str) -> str:
    lowered = value.lower()
    if lowered in NO:
        return "off"
    return "" if lowered in YES else value


__all__ = ["DEFAULT_URL", "MASK", "Target", "print_config", "resolve"]
