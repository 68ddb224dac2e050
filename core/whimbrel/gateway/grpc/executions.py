"""ExecutionService."""

from collections.abc import AsyncIterator

from whimbrel_sdk.wire.api.v1 import execution_service_pb2 as pb
from whimbrel_sdk.wire.api.v1 import execution_service_pb2_grpc as rpc

from whimbrel.broker.application import Broker
from whimbrel.gateway.grpc.calls import streaming, unary
from whimbrel.gateway.grpc.convert import from_object, page_size, skipped, to_execution
from whimbrel.model import COMPLETED, Caller, Execution, ExecutionRequest

CHANGES = ("st2.execution__create", "st2.execution__update")
OUTPUT = "st2.execution.output__create"


class ExecutionService(rpc.ExecutionServiceServicer):
    """Starts actions and follows them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.identity = broker.identity

    def _wire(self, execution: Execution) -> pb.Execution:
        return to_execution(execution, self._broker.executions.document(execution))

    @unary
    async def StartExecution(
        self, request: pb.StartExecutionRequest, caller: Caller
    ) -> pb.StartExecutionResponse:
        """Accept an execution durably."""
        context = {"trace_context": {"trace_tag": request.trace_tag}} if request.trace_tag else {}
        wanted = ExecutionRequest(
            action=request.action_ref,
            parameters=from_object(request.parameters, "parameters"),
            delay=request.delay_milliseconds or None,
            context=context,
        )
        execution = await self._broker.executions.request(wanted, caller=caller)
        return pb.StartExecutionResponse(execution=self._wire(execution))

    @unary
    async def GetExecution(
        self, request: pb.GetExecutionRequest, caller: Caller
    ) -> pb.GetExecutionResponse:
        """Return one execution."""
        return pb.GetExecutionResponse(
            execution=self._wire(self._broker.executions.get(request.id))
        )

    @unary
    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, caller: Caller
    ) -> pb.ListExecutionsResponse:
        """Return a page of executions."""
        found, total = self._broker.executions.find(
            limit=page_size(request.page_size),
            offset=skipped(request.offset),
            action=request.action_ref or None,
            status=request.status or None,
            user=request.user or None,
        )
        return pb.ListExecutionsResponse(executions=map(self._wire, found), total=total)

    @unary
    async def CancelExecution(
        self, request: pb.CancelExecutionRequest, caller: Caller
    ) -> pb.CancelExecutionResponse:
        """End an execution."""
        execution = await self._broker.executions.cancel(request.id, user=caller.user)
        return pb.CancelExecutionResponse(execution=self._wire(execution))

    @streaming
    async def StreamOutput(
        self, request: pb.StreamOutputRequest, caller: Caller
    ) -> AsyncIterator[pb.StreamOutputResponse]:
        """Send what was printed, then what comes."""
        execution_id = self._broker.executions.get(request.id).id
        sent: set[str] = set()
        with self._broker.stream.subscribe([OUTPUT, *CHANGES]) as live:
            for record in self._broker.executions.output(execution_id):
                sent.add(record.id)
                yield pb.StreamOutputResponse(channel=record.output_type, text=record.data)
            if self._broker.executions.get(execution_id).status in COMPLETED:
                return
            async for event in live:
                data = event.data
                if event.name != OUTPUT:
                    if data["id"] == execution_id and data["status"] in COMPLETED:
                        return
                elif data["execution_id"] == execution_id and data["id"] not in sent:
                    yield pb.StreamOutputResponse(channel=data["output_type"], text=data["data"])

    @streaming
    async def WatchExecutions(
        self, request: pb.WatchExecutionsRequest, caller: Caller
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        """Send each change; of one execution until it has ended."""
        executions = self._broker.executions
        with self._broker.stream.subscribe(CHANGES) as live:
            if request.id:
                execution = executions.get(request.id)
                yield pb.WatchExecutionsResponse(execution=self._wire(execution))
                if execution.status in COMPLETED:
                    return
            async for event in live:
                if request.id and event.data["id"] != request.id:
                    continue
                execution = executions.get(event.data["id"])
                yield pb.WatchExecutionsResponse(execution=self._wire(execution))
                if request.id and execution.status in COMPLETED:
                    return
