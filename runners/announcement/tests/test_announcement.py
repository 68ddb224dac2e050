"""The announcement runner, run as the SDK runs it."""

import pytest
from announcement_runner import plugin
from whimbrel_sdk import FailureKind, Status
from whimbrel_sdk.testing import run_once


def test_the_result_is_what_is_announced() -> None:
    """The action's parameters come back as they are."""
    message = {"message": {"text": "disk full", "count": 3}, "user": None}

    ended = run_once(
        plugin, "announcement", {"experimental": True, "route": "general"}, action_params=message
    )

    assert Status.SUCCEEDED is ended.status
    assert message == ended.result


@pytest.mark.parametrize("given", [{}, {"experimental": False}, {"experimental": None}])
def test_it_refuses_to_work_by_accident(given: dict[str, object]) -> None:
    """Without the experimental flag the run fails, and says which parameter is missing."""
    ended = run_once(plugin, "announcement", given, action_params={"message": "x"})

    assert Status.FAILED is ended.status
    assert FailureKind.INVALID_INPUT is ended.kind
    assert "experimental" in ended.result["error"]
