"""Behaviour of the application's parts."""
