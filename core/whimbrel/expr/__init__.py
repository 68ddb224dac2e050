"""TODO-expr."""
