"""Values survive the way over the wire, in both directions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.host.wire import Nonsense, chunk_from_wire, outcome_from_wire, request_to_wire
from whimbrel.model import OutputChunk, RunOutcome, RunRequest, Status
from whimbrel_sdk.grpc_wire import CHANNELS, result_to_wire, run_from_wire
from whimbrel_sdk.run import FailureKind
from whimbrel_sdk.run import Status as SdkStatus
from whimbrel_sdk.runs import Ended
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3),
    max_leaves=8,
)


def a_request(**changes: Any) -> RunRequest:
    """Return a request with every field set."""
    fields: dict[str, Any] = {
        "run_id": "65f0c0ffee",
        "attempt": 2,
        "runner": "alias",
        "action_ref": "core.local",
        "pack": "core",
        "pack_path": "/packs/core",
        "entry_point": "/packs/core/actions/a.sh",
        "user": "operator",
        "runner_parameters": {"cmd": "pass-31337"},
        "action_parameters": {"n": 60},
        "action_schema": {"n": {"type": "integer"}},
        "timeout_seconds": 1.5,
        "env": {"ST2_ACTION_PACK_NAME": "core"},
        "token": "tok-31337",
        "trace_id": "trace",
        "secret_pointers": ("/cmd",),
    }
    return RunRequest(**{**fields, **changes})


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.dictionaries(TEXT, TEXT, max_size=3))
def test_parameters_arrive_as_they_were(params: dict[str, Any], env: dict[str, str]) -> None:
    """Integers stay integers, to 64 bits, and text stays text."""
    request = a_request(runner_parameters=params, action_parameters=params, env=env)
    message, _ = request_to_wire(request, runner="r", max_output_bytes=5)

    run = run_from_wire(wire.RunRequest.FromString(message.SerializeToString()))

    assert (params, params, env) == (run.params, run.action_params, run.env)


def test_a_request_arrives_whole() -> None:
    """Every field of a request is on the other side."""
    request = a_request()
    message, _ = request_to_wire(request, runner="core-local", max_output_bytes=5)

    run = run_from_wire(message)

    assert ("65f0c0ffee", 2, "core-local") == (run.id, run.attempt, run.runner)
    assert ("65f0c0ffee", "core.local") == (run.execution_id, run.action_ref)
    assert ("core", "/packs/core") == (run.pack, run.pack_path)
    assert (request.entry_point, "operator", "trace") == (run.entry_point, run.user, run.trace_id)
    assert (1.5, "tok-31337", ("/cmd",)) == (run.timeout_seconds, run.token, run.secret_pointers)
    assert request.action_schema == run.action_schema
    assert 5 == run.output_options.max_total_bytes
    assert "31337" not in repr(run)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (SdkStatus.SUCCEEDED, Status.SUCCEEDED),
        (SdkStatus.FAILED, Status.FAILED),
        (SdkStatus.TIMED_OUT, Status.TIMEOUT),
        (SdkStatus.CANCELED, Status.CANCELED),
    ],
)
def test_an_end_arrives_as_the_outcome(said: SdkStatus, status: Status) -> None:
    """Status, result, reason and truncation are on the other side."""
    ended = Ended(
        status=said,
        result=b'{"n": 60}',
        kind=FailureKind.PERMANENT,
        message="why",
        output_truncated=True,
    )

    outcome = outcome_from_wire(result_to_wire(ended))

    assert (
        RunOutcome(status=status, result=b'{"n": 60}', reason="why", output_truncated=True)
        == outcome
    )


def test_a_stack_trace_becomes_the_result() -> None:
    """A runner that raised shows its error and traceback, as StackStorm does."""
    ended = Ended(
        status=SdkStatus.FAILED, kind=FailureKind.PLUGIN_BUG, message="E: x", stack_trace="at 1"
    )

    outcome = outcome_from_wire(result_to_wire(ended))

    assert {"error": "E: x", "traceback": "at 1"} == json.loads(outcome.result)


def test_output_arrives_as_bytes() -> None:
    """Chunks keep channel, bytes and offset."""
    message = wire.OutputChunk(channel=CHANNELS["stderr"], data=b"\xff\x00", offset=7)

    assert OutputChunk(channel="stderr", data=b"\xff\x00", offset=7) == chunk_from_wire(message)


@pytest.mark.parametrize(
    "result",
    [
        wire.RunResult(),
        wire.RunResult(status=99),  # type: ignore[arg-type]  # what another language may send
        wire.RunResult(status=wire.RunResult.STATUS_FAILED, result=types.Payload(data=b"{")),
        wire.RunResult(status=wire.RunResult.STATUS_FAILED, result=types.Payload(data=b"NaN")),
        wire.RunResult(status=wire.RunResult.STATUS_FAILED, result=types.Payload(encoding=9)),  # type: ignore[arg-type]  # as above
    ],
    ids=["empty", "status", "broken", "nan", "encoding"],
)
def test_refuses_results_that_mean_nothing(result: wire.RunResult) -> None:
    """A status or document outside the contract is named as such."""
    with pytest.raises(Nonsense, match="a result"):
        outcome_from_wire(result)


def test_refuses_output_on_no_channel() -> None:
    """Output has to say where it belongs."""
    with pytest.raises(Nonsense, match="channel 0"):
        chunk_from_wire(wire.OutputChunk(data=b"x"))
