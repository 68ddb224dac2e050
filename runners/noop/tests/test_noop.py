"""The noop runner, run as the SDK runs it."""

from noop_runner import plugin
from whimbrel_sdk import Status
from whimbrel_sdk.testing import run_once


def test_it_succeeds_with_return_code_zero() -> None:
    """The result has the three members that workflows read."""
    ended = run_once(plugin, "noop", action_params={"ignored": 1})

    assert Status.SUCCEEDED is ended.status
    assert ended.result == {"failed": False, "succeeded": True, "return_code": 0}
