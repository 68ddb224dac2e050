"""The tidy tests."""
