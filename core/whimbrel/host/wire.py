"""Between the model's values and the wire's messages, each pair side by side."""

import msgspec
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

from whimbrel import errors, nesting
from whimbrel.model import OutputChunk, RunOutcome, RunRequest, Status

Failure = types.Failure
CHANNELS = {
    wire.OutputChunk.CHANNEL_STDOUT: "stdout",
    wire.OutputChunk.CHANNEL_STDERR: "stderr",
}
STATUSES = {
    wire.RunResult.STATUS_SUCCEEDED: Status.SUCCEEDED,
    wire.RunResult.STATUS_FAILED: Status.FAILED,
    wire.RunResult.STATUS_TIMED_OUT: Status.TIMEOUT,
    wire.RunResult.STATUS_CANCELED: Status.CANCELED,
}
JSON_ENCODINGS = {types.ENCODING_UNSPECIFIED, types.ENCODING_JSON}

_json = msgspec.json.Encoder()


class Nonsense(errors.InvalidInput):
    """A plugin sent a message that the contract does not allow. The plugin has to be mended."""


def request_to_wire(
    request: RunRequest, *, runner: str, max_output_bytes: int
) -> tuple[wire.RunRequest, int]:
    """Return the message, and about how many bytes it has. `runner` is no alias."""
    params = _json.encode(request.runner_parameters)
    action_params = _json.encode(request.action_parameters)
    schema = _json.encode(request.action_schema)
    message = wire.RunRequest(
        run_id=request.run_id,
        attempt=request.attempt,
        runner=runner,
        params=types.Payload(encoding=types.ENCODING_JSON, data=params),
        context=wire.RunContext(
            execution_id=request.run_id,
            action_ref=request.action_ref,
            pack=request.pack,
            pack_path=request.pack_path,
            user=request.user,
            trace_id=request.trace_id,
        ),
        action=wire.ActionCall(
            entry_point=request.entry_point,
            params=types.Payload(encoding=types.ENCODING_JSON, data=action_params),
            schema=types.Payload(encoding=types.ENCODING_JSON, data=schema),
        ),
        env=request.env,
        run_token=request.token,
        output=wire.OutputOptions(max_total_bytes=max_output_bytes),
        secret_pointers=request.secret_pointers,
    )
    seconds = int(request.timeout_seconds)
    message.timeout.seconds = seconds
    message.timeout.nanos = int((request.timeout_seconds - seconds) * 1e9)
    return message, len(params) + len(action_params) + len(schema)


def chunk_from_wire(message: wire.OutputChunk) -> OutputChunk:
    """Return a piece of output; raise Nonsense for an unknown channel."""
    channel = CHANNELS.get(message.channel)
    if channel is None:
        raise Nonsense(f"output on channel {message.channel}; allowed are {sorted(CHANNELS)}")
    return OutputChunk(channel=channel, data=message.data, offset=message.offset)


def outcome_from_wire(message: wire.RunResult) -> RunOutcome:
    """Return how a run ended; raise Nonsense for an unknown status or a result that is no JSON."""
    status = STATUSES.get(message.status)
    if status is None:
        raise Nonsense(f"a result with status {message.status}; allowed are {sorted(STATUSES)}")
    failure = message.failure if message.HasField("failure") else None
    result = _json_from_wire(message.result)
    if failure is not None and failure.stack_trace and result == b"null":
        said = {"error": failure.message, "traceback": failure.stack_trace}
        result = _json.encode(said)
    return RunOutcome(
        status=status,
        result=result,
        reason=failure.message if failure is not None else "",
        output_truncated=message.output_truncated,
    )


def _json_from_wire(payload: types.Payload) -> bytes:
    if payload.encoding not in JSON_ENCODINGS:
        raise Nonsense(f"a result in encoding {payload.encoding}; JSON was negotiated")
    if not payload.data:
        return b"null"
    try:
        # The whole value, as the raw text may hold what nobody can decode later.
        is_too_deep = nesting.is_too_deep(msgspec.json.decode(payload.data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Nonsense(f"a result that is not JSON: {error}") from error
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise Nonsense(f"a result that is nested deeper than {nesting.DEPTH_MAX} levels")
    return payload.data
