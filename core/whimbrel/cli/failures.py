"""What can go wrong in a command, each with the exit code that scripts see."""

from whimbrel.errors import Unavailable, WhimbrelError


class CommandFailed(WhimbrelError):  # house names say what happened
    """The command could not do its work; `exit_code` tells scripts how."""

    exit_code = 1


class Usage(CommandFailed):
    """The command line itself is wrong; `help_text` is printed before the message when there is any."""

    exit_code = 2

    def __init__(self, message: str, *, help_text: str = "") -> None:
        super().__init__(message)
        self.help_text = help_text


class OperationFailed(CommandFailed):
    """A create, delete or the like was refused."""

    exit_code = 2


class Refused(CommandFailed):
    """The server answered with an error. `status` is the HTTP code, `message` its explanation."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        side = "Client" if status < 500 else "Server"
        super().__init__(f"{status} {side} Error: {reason}\nMESSAGE: {message}")
        self.status = status
        self.message = message


class Unreachable(CommandFailed, Unavailable):
    """Nothing answers at the address, or it does not answer as a server should."""


class Silent(CommandFailed):
    """Everything was said already; only the exit code is left."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


__all__ = ["CommandFailed", "OperationFailed", "Refused", "Silent", "Unreachable", "Usage"]
