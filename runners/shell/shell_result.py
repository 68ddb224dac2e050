"""Turns what a command left behind into the result that StackStorm's local runners give. Pure."""

import re
import signal
from enum import StrEnum
from typing import Any

import msgspec

TIMEOUT_RETURN_CODE = -int(signal.SIGKILL)
TERMINATED_RETURN_CODE = -int(signal.SIGTERM)
REFUSED_PASSWORD = re.compile(r"sudo: \d+ incorrect password attempt")
PASSWORD_PROMPT = re.compile(r"\[sudo\] password for (.+?):")


class Stop(StrEnum):
    """Why a command was ended before it ended by itself."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended: its return code (negative: a signal) and the output that was kept.

    `stopped` is None when it ended by itself. `truncated` says that output was longer than kept.
    """

    return_code: int
    stdout: bytes
    stderr: bytes
    stopped: Stop | None = None
    truncated: bool = False


def shell_result(ending: Ending, *, timeout_seconds: float, password_given: bool) -> dict[str, Any]:
    """Return `{failed, succeeded, return_code, stdout, stderr[, error]}`."""
    stderr = output_text(ending.stderr)
    return_code, error = ending.return_code, None
    if ending.stopped is Stop.TIMEOUT:
        return_code = TIMEOUT_RETURN_CODE
        error = f"Action failed to complete in {timeout_seconds:g} seconds"
    elif password_given and REFUSED_PASSWORD.search(stderr):
        prompt = PASSWORD_PROMPT.search(stderr)
        account = prompt[1] if prompt else "unknown"
        return_code, error = -1, f"sudo refused the password, or does not allow {account} to use it"
    succeeded = return_code == 0 and ending.stopped is None
    result = {
        "failed": not succeeded,
        "succeeded": succeeded,
        "return_code": return_code,
        "stdout": _data_or_text(output_text(ending.stdout)),
        "stderr": _data_or_text(stderr),
    }
    return result if error is None else {**result, "error": error}


def output_text(output: bytes) -> str:
    """Return output as text without one final newline and one carriage return.

    Bytes that are not UTF-8 become U+FFFD.
    """
    return output.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def _data_or_text(text: str) -> Any:
    """Return the value that `text` is in JSON, with exact integers; otherwise `text` itself.

    NaN and the infinities are no JSON, and stay text.
    """
    if not text:
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
