"""Registering packs: which ones, what of them, and what came of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from whimbrel import errors
from whimbrel.broker import packs
from whimbrel.store import Put

PACK_STATES = "pack_state"
LOADER_VERSION = "1"
"""Goes into the fingerprint of packs: a new one makes the next start read all of them again."""

TYPES: Mapping[str, str] = {
    "runner": "runners",
    "rule_type": "rule_types",
    "policy_type": "policy_types",
    "trigger": "triggers",
    "sensor": "sensors",
    "action": "actions",
    "rule": "rules",
    "alias": "aliases",
    "policy": "policies",
    "config": "configs",
}
"""What can be registered, one and many; `all` stands for everything."""

KINDS: Mapping[str, str] = {"triggers": "trigger_type", "actions": "action", "rules": "rule"}
"""The types that are content of packs today."""


class PackState(msgspec.Struct, frozen=True):
    """What was found when a pack was last read; an unchanged one is not read again."""

    fingerprint: str
    refusals: list[str] = []


class Reading:
    """One pack while it is registered."""

    def __init__(self, ref: str, path: Path, *, salt: str) -> None:
        self.ref = ref
        self.path = path
        self.fingerprint = packs.fingerprint(path, salt=salt)
        self.loaded: packs.LoadedPack | None = None
        self.refusals: list[errors.InvalidInput] = []
        self.counts: dict[str, int] = {}

    def read(self, kinds: Sequence[str]) -> None:
        """Read and check the files."""
        try:
            self.loaded = packs.load(self.path, kinds=kinds)
            self.refusals += self.loaded.refusals
        except errors.InvalidInput as error:
            self.refusals.append(error)

    def found(self, kind: str) -> list[packs.Found]:
        """Return the good documents of a kind."""
        if self.loaded is None:
            return []
        return [found for found in self.loaded.found if found.kind == kind]

    def refuse(self, file: str, error: errors.InvalidInput) -> None:
        """Keep why a file cannot be used."""
        self.refusals.append(packs.placed(error, f"{self.ref}/{file}"))

    def state(self) -> PackState:
        """Return what to remember of this reading."""
        return PackState(self.fingerprint, [str(refusal) for refusal in self.refusals])


def state_put(reading: Reading) -> Put:
    """Return the write that remembers a reading."""
    return Put(PACK_STATES, reading.ref, msgspec.json.encode(reading.state()))


def wanted_types(types: Sequence[str] | None) -> tuple[str, ...]:
    """Return the types by their plural names; all when none are given. Raises `InvalidInput`."""
    wanted: list[str] = []
    for name in types or ("all",):
        if name == "all":
            return tuple(TYPES.values())
        plural = TYPES.get(name, name)
        if plural not in TYPES.values():
            allowed = ", ".join(("all", *TYPES.values()))
            raise errors.InvalidInput(f'Type "{name}" cannot be registered. Allowed: {allowed}')
        wanted.append(plural)
    return tuple(dict.fromkeys(wanted))


def kinds_of(types: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of content among the types, in the order of their registration."""
    asked = {KINDS[name] for name in types if name in KINDS}
    return tuple(kind for kind in packs.FOLDERS if kind in asked)


def selected(places: Mapping[str, Path], names: Sequence[str] | None) -> Mapping[str, Path]:
    """Return the named packs' folders, all when none are named. Raises `InvalidInput`."""
    if not names:
        return places
    for name in names:
        if name not in places:
            raise errors.InvalidInput(
                f'Pack "{name}" not found on disk. There are: {", ".join(sorted(places))}'
            )
    return {name: places[name] for name in names}
