"""TODO-rules."""
