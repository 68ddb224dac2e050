"""TODO-gateway."""
