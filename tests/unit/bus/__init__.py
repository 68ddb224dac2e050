"""The bus, piece by piece."""
