"""The gateway: REST, event streams, webhooks and gRPC; it authenticates, checks and converts."""
