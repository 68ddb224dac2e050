"""Expressions: templates, functions, datastore references, the datastore cipher, JSONPath."""
