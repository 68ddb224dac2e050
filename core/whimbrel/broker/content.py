"""The content: packs, actions, rules, triggers and runner types, as every service sees them.

Reads come from memory and cost nothing to speak of. Changes take their turn one after the other, commit
together with their announcement, and are visible when the call returns.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whimbrel import errors, rules
from whimbrel.broker import documents, packs, registration
from whimbrel.broker.catalog import (
    Announce,
    Catalog,
    Change,
    Draft,
    key_of,
    trigger_key,
    writes,
)
from whimbrel.broker.schema import Schema, SchemaViolation
from whimbrel.broker.triggers import WEBHOOK_TYPE, Triggers, normal_parameters
from whimbrel.expr import Templates
from whimbrel.model import Action, Pack, Rule, RunnerOffer, RunnerType, Trigger, TriggerType
from whimbrel.seams import Clock, Ids
from whimbrel.store import Op, Store

CREATABLE = ("action", "rule", "trigger_type")
"""The kinds that callers create and change; the others follow from these, from packs and plugins."""

REBUILD_ABOVE = 16
"""More changed rules than this make a new rule set; fewer are put into the present one."""

Listener = Callable[[Change], None]


def _announce_nothing(_changes: Sequence[Change]) -> Sequence[Op]:
    return ()


class Content:
    """The catalog of content. `load` first; then reads at any time, changes one after the other."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        system_packs: Path,
        packs_paths: Sequence[Path] = (),
        outbox: Announce = _announce_nothing,
        templates: Templates | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._system_packs = system_packs
        self._packs_paths = tuple(packs_paths)
        self._outbox = outbox
        self._catalog = Catalog()
        self._listeners: list[Listener] = []
        self._turn = asyncio.Lock()
        self._rule_set = rules.RuleSet((), templates)
        self._triggers = Triggers(ids)
        self._states: dict[str, registration.PackState] = {}

    # -- reading ------------------------------------------------------------------------------------

    @property
    def rule_set(self) -> rules.RuleSet:
        """All rules, ready to be matched; replaced, never changed, when a rule changes."""
        return self._rule_set

    def all(self, kind: str) -> Sequence[Any]:
        """Return all items of a kind, by pack and name."""
        return self._catalog.all(kind)

    def find(self, kind: str, ref_or_id: str) -> Any:
        """Return an item by ref, id, or runner name. Raises `NotFound`."""
        found = self._catalog.get(kind, ref_or_id)
        if found is None:
            raise errors.NotFound(f'Resource with id or reference "{ref_or_id}" doesn\'t exist.')
        return found

    def trigger_for(self, type_ref: str, parameters: Mapping[str, Any]) -> Trigger | None:
        """Return the trigger of a type that has these parameters, if there is one."""
        return self._catalog.trigger(trigger_key(type_ref, normal_parameters(type_ref, parameters)))

    def webhooks(self) -> list[Trigger]:
        """Return the triggers of webhooks that rules listen to."""
        return [trigger for trigger in self._catalog.all("trigger") if trigger.type == WEBHOOK_TYPE]

    def webhook(self, url: str) -> Trigger:
        """Return the trigger of a webhook; slashes at the ends do not matter. Raises `NotFound`."""
        found = self.trigger_for(WEBHOOK_TYPE, {"url": url})
        if found is None:
            raise errors.NotFound(f'Webhook with url "{url.strip("/")}" doesn\'t exist')
        return found

    def refusals(self) -> Mapping[str, Sequence[str]]:
        """Return what of the packs on disk cannot be used, by pack."""
        return {ref: state.refusals for ref, state in self._states.items() if state.refusals}

    def pack_path(self, ref: str) -> Path | None:
        """Return the folder of a pack; None for one that exists in name alone."""
        pack: Pack | None = self._catalog.get("pack", ref)
        return Path(pack.path) if pack is not None and pack.path else None

    def entry_point_text(self, action: Action) -> str:
        """Return the source of an action's entry point. Raises `NotFound` when there is none."""
        folder = self.pack_path(action.pack)
        if folder is None or not action.entry_point:
            raise errors.NotFound(f'Action "{action.ref}" has no entry point')
        try:
            file = packs.inside(folder / packs.FOLDERS["action"], action.entry_point)
            return file.read_text(encoding="utf-8", errors="replace")
        except (OSError, errors.InvalidInput) as error:
            raise errors.NotFound(
                f'The entry point "{action.entry_point}" of action "{action.ref}" cannot be read'
            ) from error

    def payload_of(self, type_ref: str, payload: Any) -> Any:
        """Return an event's payload with defaults, checked against its type's schema.

        Types of the system pack are not checked: their events are made here. Raises `SchemaViolation`.
        """
        trigger_type: TriggerType | None = self._catalog.get("trigger_type", type_ref)
        if trigger_type is None or trigger_type.pack == packs.SYSTEM_PACK:
            return payload
        return Schema(trigger_type.payload_schema).clean(payload)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every change, after it is durable."""
        self._listeners.append(listener)

    # -- life ---------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read everything from the store. Once, before anything else."""
        self._catalog.load(self._store)
        total = self._store.count(registration.PACK_STATES)
        for record in self._store.page(registration.PACK_STATES, limit=max(total, 1)):
            self._states[record.key] = msgspec.json.decode(
                record.value, type=registration.PackState
            )
        self._rebuild_rules()

    async def sync_runner_types(self, offers: Sequence[RunnerOffer]) -> int:
        """Make the runner types those that plugins offer; return how many there are.

        Identity and the `enabled` flag of known ones are kept.
        """
        async with self._turn:
            draft = Draft(self._catalog)
            offered = {offer.name for offer in offers}
            for known in self._catalog.all("runner_type"):
                if known.name not in offered:
                    draft.remove("runner_type", known)
            for offer in offers:
                known = self._catalog.get("runner_type", offer.name)
                kept = known if known is not None and known.name == offer.name else None
                draft.save(
                    "runner_type",
                    documents.runner_type_of(
                        offer,
                        object_id=kept.id if kept else self._ids.object_id(),
                        enabled=kept.enabled if kept else True,
                    ),
                )
            await self._commit(draft)
        return len(offered)

    async def _commit(self, draft: Draft, extra: Sequence[Op] = ()) -> None:
        changes = draft.changes()
        if not changes and not extra:
            return
        await self._store.commit([*writes(changes), *extra, *self._outbox(changes)])
        self._catalog.apply(changes)
        self._follow_rules([change for change in changes if change.kind == "rule"])
        for change in changes:
            for listener in self._listeners:
                listener(change)

    def _follow_rules(self, changes: Sequence[Change]) -> None:
        if len(changes) > REBUILD_ABOVE:
            return self._rebuild_rules()
        for change in changes:
            if change.verb == "delete":
                self._rule_set = self._rule_set.without_rule(change.item.ref)
            else:
                self._rule_set = self._rule_set.with_rule(change.item)
        return None

    def _rebuild_rules(self) -> None:
        self._rule_set = rules.RuleSet(self._catalog.all("rule"), self._rule_set.templates)

    # -- changing, for callers ----------------------------------------------------------------------

    async def create(self, kind: str, document: Any, *, user: str = "") -> Any:
        """Create an item of a kind. `user` is who owns a rule.

        Raises `InvalidInput` for a document that makes no sense and `Conflict` for one that exists.
        """
        async with self._turn:
            draft = Draft(self._catalog)
            cleaned = self._checked(kind, document)
            item = self._drafted(draft, kind, cleaned, object_id=self._ids.object_id(), user=user)
            _refuse_system(item)
            taken = self._catalog.get(kind, key_of(item))
            if taken is not None:
                raise errors.Conflict(
                    f'Tried to save duplicate unique keys: {kind} "{key_of(item)}" exists',
                    conflict_id=taken.id,
                )
            self._write_data_files(draft, item, cleaned)
            await self._commit(draft)
            return item

    async def update(self, kind: str, ref_or_id: str, document: Any, *, user: str = "") -> Any:
        """Replace an item; its id is kept. Only `enabled` of a runner type can change.

        Raises `NotFound`, `InvalidInput` and `Conflict` for a new name that is taken.
        """
        async with self._turn:
            former = self.find(kind, ref_or_id)
            _refuse_system(former)
            draft = Draft(self._catalog)
            if isinstance(former, RunnerType):
                item: Any = _enabled(former, document)
                draft.save(kind, item)
            else:
                cleaned = self._checked(kind, document)
                item = self._drafted(
                    draft, kind, cleaned, object_id=former.id, user=user, former=former
                )
                _refuse_system(item)
                self._write_data_files(draft, item, cleaned)
            await self._commit(draft)
            return item

    async def delete(self, kind: str, ref_or_id: str, *, remove_files: bool = False) -> Any:
        """Delete an item and return what it was. Raises `NotFound`, `InvalidInput` while it is used."""
        async with self._turn:
            item = self.find(kind, ref_or_id)
            _refuse_system(item)
            draft = Draft(self._catalog)
            draft.remove(kind, item)
            if isinstance(item, Rule):
                self._triggers.leave(draft, item.trigger.ref)
            if isinstance(item, TriggerType):
                self._refuse_while_used(item)
                self._triggers.remove_shadow(draft, item)
            if isinstance(item, RunnerType | Pack):
                raise errors.InvalidInput(f"A {kind.replace('_', ' ')} cannot be deleted this way")
            await self._commit(draft)
            if remove_files and isinstance(item, Action):
                self._remove_files(item)
            return item

    async def clone(
        self, ref_or_id: str, dest_pack: str, dest_action: str, *, overwrite: bool = False
    ) -> Action:
        """Copy an action, its entry point with it. Raises `NotFound`, `InvalidInput`."""
        source: Action = self.find("action", ref_or_id)
        if self._catalog.get("pack", dest_pack) is None:
            raise errors.InvalidInput(f"Destination pack '{dest_pack}' doesn't exist")
        target: Action | None = self._catalog.get("action", f"{dest_pack}.{dest_action}")
        if target is not None and not overwrite:
            raise errors.InvalidInput(
                f'The requested destination action "{target.ref}" already exists'
            )
        document = msgspec.to_builtins(source)
        document.update(id=None, ref=None, uid=None, pack=dest_pack, name=dest_action)
        document["metadata_file"] = ""
        if source.entry_point:
            name = f"{dest_action}{Path(source.entry_point).suffix}"
            document["entry_point"] = name
            content = self.entry_point_text(source)
            document["data_files"] = [{"file_path": name, "content": content}]
        if target is None:
            copied: Action = await self.create("action", document)
        else:
            copied = await self.update("action", target.ref, document)
        return copied

    def _checked(self, kind: str, document: Any) -> dict[str, Any]:
        if kind not in CREATABLE:
            raise errors.InvalidInput(
                f'"{kind}" cannot be created or changed. Allowed: {", ".join(CREATABLE)}'
            )
        try:
            return documents.checked("action_create" if kind == "action" else kind, document)
        except SchemaViolation as error:
            place = "".join(f"/{step}" for step in error.path)
            raise errors.InvalidInput(str(error), place=place) from error

    def _drafted(
        self,
        draft: Draft,
        kind: str,
        cleaned: dict[str, Any],
        *,
        object_id: str,
        user: str = "",
        former: Any = None,
    ) -> Any:
        """Put the item that a checked document describes into the draft, with what depends on it."""
        match kind:
            case "action":
                item: Any = self._drafted_action(draft, cleaned, object_id)
            case "rule":
                item = self._drafted_rule(draft, cleaned, object_id, user, former)
            case "trigger_type":
                item = self._drafted_trigger_type(draft, cleaned, object_id)
            case _:
                raise AssertionError(kind)
        if former is not None and key_of(former) != key_of(item):
            taken = draft.get(kind, key_of(item))
            if taken is not None and taken.id != former.id:
                raise errors.Conflict(
                    f'Tried to save duplicate unique keys: {kind} "{key_of(item)}" exists',
                    conflict_id=taken.id,
                )
            draft.remove(kind, former)
        draft.save(kind, item)
        return item

    def _drafted_action(self, draft: Draft, cleaned: dict[str, Any], object_id: str) -> Action:
        action = documents.action_of(cleaned, object_id=object_id)
        runner: RunnerType | None = draft.get("runner_type", action.runner_type)
        if runner is None:
            raise errors.InvalidInput(f'RunnerType "{action.runner_type}" is not found.')
        documents.check_parameters(action.parameters, runner.runner_parameters, ref=action.ref)
        return action

    def _drafted_rule(
        self, draft: Draft, cleaned: dict[str, Any], object_id: str, user: str, former: Rule | None
    ) -> Rule:
        documents.check_rule(cleaned, rules.OPERATOR_NAMES)
        listened = cleaned["trigger"]
        parameters = listened.get("parameters") or {}
        if user:
            cleaned = {**cleaned, "context": {**(cleaned.get("context") or {}), "user": user}}
        trigger = self._triggers.listen(draft, listened["type"], parameters)
        if former is not None:
            self._triggers.leave(draft, former.trigger.ref)
        return documents.rule_of(cleaned, object_id=object_id, trigger=trigger)

    def _drafted_trigger_type(
        self, draft: Draft, cleaned: dict[str, Any], object_id: str
    ) -> TriggerType:
        trigger_type = documents.trigger_type_of(cleaned, object_id=object_id)
        if trigger_type.parameters_schema:
            self._triggers.remove_shadow(draft, trigger_type)
        else:
            self._triggers.shadow(draft, trigger_type)
        return trigger_type

    def _refuse_while_used(self, trigger_type: TriggerType) -> None:
        users = [
            rule.ref for rule in self._catalog.all("rule") if rule.trigger.type == trigger_type.ref
        ]
        if users:
            raise errors.InvalidInput(
                f'Trigger type "{trigger_type.ref}" is used by {len(users)} rules: {users[0]}'
            )

    # -- files of actions ---------------------------------------------------------------------------

    def _write_data_files(self, draft: Draft, item: Any, cleaned: Mapping[str, Any]) -> None:
        data_files = cleaned.get("data_files")
        if not data_files:
            return
        pack: Pack | None = draft.get("pack", item.pack)
        if pack is None or not pack.path:
            raise errors.InvalidInput(
                f'Pack "{item.pack}" is not installed, so it can take no data_files'
            )
        folder = Path(pack.path)
        if folder.is_relative_to(self._system_packs):
            folder = self._adopted(pack)
        packs.write_data_files(folder, data_files)
        draft.save(
            "pack", msgspec.structs.replace(pack, path=str(folder), files=packs.files(folder))
        )

    def _adopted(self, pack: Pack) -> Path:
        """Return an operator's own copy of a bundled pack: what ships is never written to."""
        if not self._packs_paths:
            raise errors.InvalidInput(f'Pack "{pack.ref}" is bundled, and there is no packs folder')
        return packs.copy(Path(str(pack.path)), self._packs_paths[0] / pack.ref)

    def _remove_files(self, action: Action) -> None:
        folder = self.pack_path(action.pack)
        if folder is None or folder.is_relative_to(self._system_packs):
            return
        shared = any(
            other.pack == action.pack and other.entry_point == action.entry_point
            for other in self._catalog.all("action")
        )
        actions = folder / packs.FOLDERS["action"]
        if action.entry_point and not shared:
            packs.inside(actions, action.entry_point).unlink(missing_ok=True)
        if action.metadata_file:
            packs.inside(folder, action.metadata_file).unlink(missing_ok=True)

    # -- registering packs --------------------------------------------------------------------------

    async def register(
        self,
        names: Sequence[str] | None = None,
        types: Sequence[str] | None = None,
        *,
        fail_on_failure: bool = True,
        only_changed: bool = False,
    ) -> dict[str, int]:
        """Read packs from disk, all when none are named, and take over what is good in them.

        Returns how many of each type there were. With `fail_on_failure` the refusals are raised as
        `ContentErrors`, after the good rest was taken over. Raises `InvalidInput` for a pack that is
        not on disk and for an unknown type. `only_changed` passes over packs whose files are as they
        were.
        """
        wanted = registration.wanted_types(types)
        kinds = registration.kinds_of(wanted)
        async with self._turn:
            readings = self._readings(names, only_changed=only_changed)
            draft = Draft(self._catalog)
            for reading in readings:
                reading.read(kinds)
            for kind in kinds:
                for reading in readings:
                    self._register_kind(draft, reading, kind)
            for reading in readings:
                self._register_pack(draft, reading)
            whole = set(kinds) == set(packs.FOLDERS)
            await self._commit(draft, [registration.state_put(r) for r in readings if whole])
            self._states.update({r.ref: r.state() for r in readings if whole})
        failed = [refusal for reading in readings for refusal in reading.refusals]
        if failed and fail_on_failure:
            raise errors.ContentErrors(failed)
        return self._counts(wanted, readings)

    def _readings(
        self, names: Sequence[str] | None, *, only_changed: bool
    ) -> list[registration.Reading]:
        runners = ",".join(sorted(runner.name for runner in self._catalog.all("runner_type")))
        salt = f"{registration.LOADER_VERSION}/{runners}"
        places = packs.search(self._system_packs, self._packs_paths)
        readings = [
            registration.Reading(ref, path, salt=salt)
            for ref, path in registration.selected(places, names).items()
        ]
        if not only_changed:
            return readings
        known = {ref: state.fingerprint for ref, state in self._states.items()}
        return [reading for reading in readings if known.get(reading.ref) != reading.fingerprint]

    def _register_kind(self, draft: Draft, reading: registration.Reading, kind: str) -> None:
        files: dict[str, str] = {}
        for found in reading.found(kind):
            name = found.document["name"]
            try:
                if name in files:
                    raise errors.InvalidInput(f'"{name}" is described by {files[name]} already')
                files[name] = found.file
                former = draft.get(kind, f"{reading.ref}.{name}")
                object_id = former.id if former is not None else self._ids.object_id()
                self._drafted(draft, kind, found.document, object_id=object_id, former=former)
                reading.counts[kind] = reading.counts.get(kind, 0) + 1
            except errors.InvalidInput as error:
                reading.refuse(found.file, error)

    def _register_pack(self, draft: Draft, reading: registration.Reading) -> None:
        if reading.loaded is None:
            return
        former = draft.get("pack", reading.ref)
        object_id = former.id if former is not None else self._ids.object_id()
        draft.save("pack", documents.pack_of(reading.loaded.metadata, object_id=object_id))

    def _counts(
        self, wanted: Sequence[str], readings: Sequence[registration.Reading]
    ) -> dict[str, int]:
        counts = dict.fromkeys(wanted, 0)
        for name, kind in registration.KINDS.items():
            if name in counts:
                counts[name] = sum(reading.counts.get(kind, 0) for reading in readings)
        if "runners" in counts:
            counts["runners"] = len(self._catalog.all("runner_type"))
        if "rule_types" in counts:
            counts["rule_types"] = len(documents.RULE_TYPES)
        return counts


def _refuse_system(item: Any) -> None:
    if getattr(item, "pack", None) == packs.SYSTEM_PACK:
        raise errors.InvalidInput("Resources belonging to system level packs can't be manipulated")


def _enabled(runner: RunnerType, document: Any) -> RunnerType:
    enabled = document.get("enabled") if isinstance(document, dict) else None
    if not isinstance(enabled, bool):
        raise errors.InvalidInput(f"{enabled!r} is not of type 'boolean'", place="/enabled")
    return msgspec.structs.replace(runner, enabled=enabled)
