"""TODO-cli."""
