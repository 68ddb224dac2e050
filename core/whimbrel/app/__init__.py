"""TODO-app."""
