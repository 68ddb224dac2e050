"""Tests of the wiring and its settings."""
