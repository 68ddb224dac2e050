"""TODO-broker."""
