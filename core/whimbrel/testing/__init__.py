"""TODO-testing."""
