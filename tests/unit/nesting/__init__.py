"""Tests of the depth of YAML."""
