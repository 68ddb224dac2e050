"""Tests of the plugin host that need no process."""
