"""Golden vectors, run through the live code."""
