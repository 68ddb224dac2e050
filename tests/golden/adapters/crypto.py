"""Decryption of datastore values."""

from typing import Any

from whimbrel.expr import CipherKey, decrypt


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Decrypt with the key file of a vector."""
    text = given.get("key_file_text")
    key = CipherKey.of(given["key_file"]) if text is None else CipherKey.parse(text)
    return {"plaintext": decrypt(key, given["ciphertext"])}
