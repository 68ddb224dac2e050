"""Template rendering: one text, or a mapping."""

import json
from typing import Any

from whimbrel.expr import CipherKey, Templates, datastore


class VectorKeys:
    """The datastore of one vector."""

    def __init__(self, contents: dict[str, Any] | None) -> None:
        self._system = (contents or {}).get("system", {})
        self._users = (contents or {}).get("user", {})

    def read(self, scope: str, name: str) -> str | None:
        """Return the stored text, None when it is missing."""
        if scope == "st2kv.system":
            text: str | None = self._system.get(name)
            return text
        user, _, key = name.partition(":")
        item: str | None = self._users.get(user, {}).get(key)
        return item


_ENGINES: dict[str, Templates] = {}


def templates(key_file: dict[str, Any] | None) -> Templates:
    """Return the template engine of a server with this datastore key."""
    name = json.dumps(key_file)
    if name not in _ENGINES:
        decrypter = None if key_file is None else CipherKey.of(key_file)
        _ENGINES[name] = Templates(decrypter=decrypter)
    return _ENGINES[name]


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Render the template or mapping of a vector."""
    engine = templates(given.get("crypto_key"))
    if "mapping" in given:
        lenient = given.get("allow_undefined", False)
        rendered = engine.render_mapping(
            given["mapping"], given["context"], allow_undefined=lenient
        )
        return {"rendered": rendered}
    context = dict(given["context"])
    if "kv" in given:
        context["st2kv"] = datastore(VectorKeys(given["kv"]), given.get("user"))
    return {"rendered": engine.render(given["template"], context)}
