"""What becomes of output and return codes."""

from typing import Any

import pytest
from shell_result import Ending, Stop, output_text, shell_result


def result(
    ending: Ending, *, timeout_seconds: float = 60, password_given: bool = False
) -> dict[str, Any]:
    """Return the result with the usual circumstances."""
    return shell_result(ending, timeout_seconds=timeout_seconds, password_given=password_given)


def ended(
    return_code: int = 0, stdout: bytes = b"", stderr: bytes = b"", stopped: Stop | None = None
) -> Ending:
    """Return an ending."""
    return Ending(return_code=return_code, stdout=stdout, stderr=stderr, stopped=stopped)


def test_a_success_has_exactly_the_known_members() -> None:
    """Clients and workflows read these five and no other."""
    expected = {"failed": False, "succeeded": True, "return_code": 0, "stdout": "hi", "stderr": ""}

    assert expected == result(ended(stdout=b"hi\n"))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"a\n\n", "a\n"),
        (b"a\r\n", "a"),
        (b"a\r", "a"),
        (b"\n", ""),
        (b" a ", " a "),
        (b"\xff\xfea\n", "\ufffd\ufffda"),
    ],
)
def test_one_line_end_is_taken_off(output: bytes, expected: str) -> None:
    """One newline and one carriage return, no more; bad UTF-8 is replaced."""
    assert expected == output_text(output)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"1\n", 1),
        (b"123456789012345678901234567890\n", 123456789012345678901234567890),
        (b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        (b'"text"', "text"),
        (b"true", True),
        (b"NaN", "NaN"),
        (b"Infinity", "Infinity"),
        (b"1e999", "1e999"),
        (b"01", "01"),
        (b"{'a': 1}", "{'a': 1}"),
        (b"[" * 100_000, "[" * 100_000),
        (b"", ""),
    ],
)
def test_output_that_is_json_becomes_data(output: bytes, expected: object) -> None:
    """Integers stay exact; what JSON does not know stays text."""
    both = result(ended(stdout=output, stderr=output))

    assert (expected, expected) == (both["stdout"], both["stderr"])


def test_a_timeout_says_how_long_it_waited_and_keeps_the_output() -> None:
    """The return code is SIGKILL's, whatever the command answered to SIGTERM."""
    found = result(ended(0, b"part", stopped=Stop.TIMEOUT), timeout_seconds=1)

    assert found["return_code"] == -9
    assert found["error"] == "Action failed to complete in 1 seconds"
    assert (found["failed"], found["succeeded"], found["stdout"]) == (True, False, "part")


def test_a_refused_password_is_told_apart() -> None:
    """Sudo's own text names the account; the result says so in plain words."""
    stderr = b"[sudo] password for bob: Sorry, try again.\nsudo: 1 incorrect password attempt\n"

    found = result(ended(1, stderr=stderr), password_given=True)

    assert found["return_code"] == -1
    assert "bob" in found["error"]
    assert "error" not in result(ended(1, stderr=stderr))
