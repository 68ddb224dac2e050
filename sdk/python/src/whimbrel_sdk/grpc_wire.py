"""Between the wire's messages and the SDK's values."""

from whimbrel_sdk.run import STDERR, STDOUT, FailureKind, OutputOptions, Run, Status
from whimbrel_sdk.runs import Ended
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

CHANNELS = {
    STDOUT: wire.OutputChunk.CHANNEL_STDOUT,
    STDERR: wire.OutputChunk.CHANNEL_STDERR,
}
STATUSES = {
    Status.SUCCEEDED: wire.RunResult.STATUS_SUCCEEDED,
    Status.FAILED: wire.RunResult.STATUS_FAILED,
    Status.TIMED_OUT: wire.RunResult.STATUS_TIMED_OUT,
    Status.CANCELED: wire.RunResult.STATUS_CANCELED,
}
KINDS = {
    FailureKind.INVALID_INPUT: types.Failure.KIND_INVALID_INPUT,
    FailureKind.PERMISSION: types.Failure.KIND_PERMISSION,
    FailureKind.TRANSIENT: types.Failure.KIND_TRANSIENT,
    FailureKind.PERMANENT: types.Failure.KIND_PERMANENT,
    FailureKind.TIMEOUT: types.Failure.KIND_TIMEOUT,
    FailureKind.CANCELED: types.Failure.KIND_CANCELED,
    FailureKind.RESOURCE_EXHAUSTED: types.Failure.KIND_RESOURCE_EXHAUSTED,
    FailureKind.PLUGIN_BUG: types.Failure.KIND_PLUGIN_BUG,
}


def run_from_wire(message: wire.RunRequest) -> Run:
    """Return the run that a request describes; its documents stay closed until used."""
    context, action, timeout = message.context, message.action, message.timeout
    return Run(
        id=message.run_id,
        attempt=message.attempt,
        runner=message.runner,
        params_json=message.params.data,
        action_params_json=action.params.data,
        action_schema_json=action.schema.data,
        entry_point=action.entry_point,
        env=dict(message.env),
        token=message.run_token,
        execution_id=context.execution_id,
        action_ref=context.action_ref,
        pack=context.pack,
        pack_path=context.pack_path,
        user=context.user,
        trace_id=context.trace_id,
        timeout_seconds=timeout.seconds + timeout.nanos / 1e9,
        secret_pointers=tuple(message.secret_pointers),
        output_options=_options_from_wire(message),
    )


def _options_from_wire(message: wire.RunRequest) -> OutputOptions:
    options = OutputOptions()
    if message.HasField("output"):
        output, interval = message.output, message.output.flush_interval
        options.max_chunk_bytes = output.max_chunk_bytes or options.max_chunk_bytes
        options.max_total_bytes = output.max_total_bytes or options.max_total_bytes
        if output.HasField("flush_interval"):
            options.flush_interval_seconds = interval.seconds + interval.nanos / 1e9
    return options


def result_to_wire(ended: Ended) -> wire.RunResult:
    """Return the message that says how a run ended."""
    result = wire.RunResult(
        status=STATUSES[ended.status],
        result=types.Payload(encoding=types.ENCODING_JSON, data=ended.result),
        output_truncated=ended.output_truncated,
    )
    if ended.kind is not None:
        failure = result.failure
        failure.kind = KINDS[ended.kind]
        failure.message = ended.message
        failure.stack_trace = ended.stack_trace
    return result
