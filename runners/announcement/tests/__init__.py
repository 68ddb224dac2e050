"""Tests of the announcement plugin."""
