"""Measurements of the hot paths against their floors."""
