"""`up`, and what else needs the broker's own settings. The one module that knows the application."""

from pathlib import Path

from whimbrel.app import config
from whimbrel.cli import credentials
from whimbrel.cli.command import Argument
from whimbrel.cli.shell import Invocation


def arguments() -> tuple[Argument, ...]:
    """Return a flag for each of the broker's options."""
    return tuple(_argument(option) for option in config.options())


def up(invocation: Invocation) -> int:
    """Run a broker until it is told to end."""
    # The application is heavy; a mistake in the settings is told before it is loaded.
    chosen = settings(invocation)
    from whimbrel.app import run

    home = credentials.home(invocation.shell.environment)
    return run.main(
        chosen,
        save_login=lambda url, user, token, expiry: credentials.save(
            url, user, token, expiry, home
        ),
    )


def settings(invocation: Invocation) -> config.Settings:
    """Return the broker's settings as this invocation's flags, environment and file give them."""
    names = {option.name for option in config.options()}
    given = {name: value for name, value in invocation.values.items() if name in names and value}
    if invocation.switch("st2_ports"):
        given = {**config.ST2_PORTS, **given}
    file = invocation.text("config")
    return config.load(
        given, invocation.shell.environment, Path(file).expanduser() if file else None
    )


def users_file(chosen: config.Settings) -> Path:
    """Return where the broker of these settings keeps its users."""
    return chosen.users_file or chosen.folder / "users"


def _argument(option: config.Option) -> Argument:
    text = f"{option.help} ({option.variable}; {option.default})"
    match option.kind:
        case "switch":
            return Argument((option.flag,), text, "switch")
        case "choice":
            return Argument((option.flag,), text, choices=option.choices)
        case "integer":
            return Argument((option.flag,), text, metavar="NUMBER")
        case _:
            return Argument((option.flag,), text, metavar=option.kind.upper())


__all__ = ["arguments", "settings", "up", "users_file"]
