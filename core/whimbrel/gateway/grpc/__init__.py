"""The native API over gRPC: the same broker methods as REST, typed."""

from whimbrel.gateway.grpc.server import serve_grpc

__all__ = ["serve_grpc"]
