"""Tests of the noop plugin."""
