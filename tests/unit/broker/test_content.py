"""The catalog of content."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from whimbrel.broker.catalog import Change
from whimbrel.broker.content import Content
from whimbrel.errors import Conflict, ContentErrors, InvalidInput, NotFound
from whimbrel.model import RunnerOffer
from whimbrel.store import Op, Put
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FixedClock

from tests.unit.broker.test_packs import make_pack

BUNDLED = Path(__file__).parents[3] / "packs"
PARAMETERS: dict[str, dict[str, Any]] = {
    "cmd": {"type": "string"},
    "sudo": {"type": "boolean", "default": False},
    "timeout": {"type": "integer", "default": 60},
}
OFFERS = (
    RunnerOffer(name="local-shell-cmd", plugin="shell", parameters=PARAMETERS),
    RunnerOffer(name="local-shell-script", plugin="shell", parameters=PARAMETERS),
    RunnerOffer(
        name="announcement",
        plugin="announcement",
        parameters={"experimental": {"type": "boolean", "required": True, "default": False}},
    ),
    RunnerOffer(name="noop", plugin="noop", aliases=("nothing",)),
)


class Case:
    """A catalog over a store in memory, with the bundled packs and an operator's folder."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.folder = folder / "packs"
        self.folder.mkdir(exist_ok=True)
        self.store = store or MemoryStore()
        self.told: list[Change] = []
        self.announced: list[Sequence[Change]] = []
        self.ids = CountedIds()
        self.content = Content(
            self.store,
            FixedClock(),
            self.ids,
            system_packs=BUNDLED,
            packs_paths=[self.folder],
            outbox=self._announce,
        )
        self.content.subscribe(self.told.append)

    def _announce(self, changes: Sequence[Change]) -> Sequence[Op]:
        self.announced.append(changes)
        return [Put("outbox", self.ids.object_id(), b"{}")]

    async def started(self) -> "Case":
        """Start as the broker does."""
        await self.content.load()
        await self.content.sync_runner_types(OFFERS)
        await self.content.register(fail_on_failure=False, only_changed=True)
        return self

    async def again(self) -> "Case":
        """Start once more over the same store."""
        return await Case(self.folder.parent, self.store).started()


def drive(folder: Path, test: Callable[[Case], Awaitable[None]]) -> None:
    """Run a test against a started catalog."""

    async def run() -> None:
        await test(await Case(folder).started())

    asyncio.run(run())


def rule(name: str = "r", url: str = "hook", **changes: Any) -> dict[str, Any]:
    """Return a rule's document."""
    return {
        "name": name,
        "trigger": {"type": "core.st2.webhook", "parameters": {"url": url}},
        "criteria": {},
        "action": {"ref": "core.local", "parameters": {"cmd": "date"}},
        **changes,
    }


def test_bundled_packs_register_without_refusal(tmp_path: Path) -> None:
    """A fresh start has the bundled content, and a trigger for every type without parameters."""

    async def test(case: Case) -> None:
        content = case.content
        assert content.refusals() == {}
        assert [pack.ref for pack in content.all("pack")] == ["core", "default", "examples"]
        assert content.find("action", "core.local").runner_type == "local-shell-cmd"
        assert content.find("rule", "examples.sample_rule_with_webhook").enabled
        assert content.find("trigger", "core.st2.generic.actiontrigger").parameters == {}
        assert content.webhook("sample").ref_count == 1

    drive(tmp_path, test)


def test_second_start_reads_nothing_and_keeps_everything(tmp_path: Path) -> None:
    """Unchanged packs are not read again; ids, counts and what callers changed stay."""

    async def test(case: Case) -> None:
        created = await case.content.create("rule", rule(url="sample"))
        await case.content.delete("rule", "examples.greet_visitor")
        again = await case.again()
        assert again.told == []
        assert again.content.find("rule", "default.r") == created
        assert again.content.webhook("sample").ref_count == 2
        assert sorted(r.ref for r in again.content.rule_set) == [
            r.ref for r in case.content.all("rule")
        ]
        with pytest.raises(NotFound):
            again.content.find("rule", "examples.greet_visitor")

    drive(tmp_path, test)


def test_item_is_found_by_ref_and_by_id(tmp_path: Path) -> None:
    """Both lead to the same item; what is not there is refused with the words that clients know."""

    async def test(case: Case) -> None:
        action = case.content.find("action", "core.noop")
        assert case.content.find("action", action.id) is action
        assert case.content.find("runner_type", "nothing").name == "noop"
        with pytest.raises(NotFound, match=r'reference "core\.x" doesn.t exist'):
            case.content.find("action", "core.x")
        assert case.content.all("sensor_type") == []

    drive(tmp_path, test)


def test_rules_share_a_trigger_until_the_last_leaves(tmp_path: Path) -> None:
    """Equal type and parameters are one trigger, slashes of a url aside; it goes with its last rule."""

    async def test(case: Case) -> None:
        one = await case.content.create("rule", rule("one", "/hook/"))
        two = await case.content.create("rule", rule("two", "hook"))
        assert one.trigger.ref == two.trigger.ref
        assert one.trigger.parameters == {"url": "hook"}
        assert case.content.webhook("/hook").ref_count == 2
        await case.content.delete("rule", one.id)
        assert case.content.webhook("hook").ref_count == 1
        await case.content.update("rule", two.ref, rule("two", "elsewhere"))
        with pytest.raises(NotFound):
            case.content.webhook("hook")
        assert {t.parameters["url"] for t in case.content.webhooks()} >= {"elsewhere"}

    drive(tmp_path, test)


def test_rule_set_follows_every_change(tmp_path: Path) -> None:
    """A rule is matched as soon as its creation returns, and the former set is left as it was."""

    async def test(case: Case) -> None:
        before = case.content.rule_set
        size = len(before)
        created = await case.content.create("rule", rule(), user="joe")
        assert created.context == {"user": "joe"}
        assert len(case.content.rule_set) == size + 1
        assert len(before) == size
        bucket = case.content.rule_set.bucket(created.trigger.ref)
        assert bucket is not None
        await case.content.delete("rule", created.ref)
        assert case.content.rule_set.bucket(created.trigger.ref) is None

    drive(tmp_path, test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trigger": {"type": "default.nothing"}}, "does not exist in system"),
        ({"trigger": {"type": "core.st2.webhook"}}, "missing required"),
        (
            {"trigger": {"type": "core.st2.IntervalTimer", "parameters": {"unit": "eons"}}},
            "'delta' is a required property|'eons' is not one of",
        ),
        ({"criteria": {"trigger.x": {"type": "exists"}}}, "no pattern specified"),
        ({"type": {"ref": "other"}}, "Allowed: standard, backstop"),
        ({"surprise": 1}, "Additional properties are not allowed"),
    ],
)
def test_rule_that_makes_no_sense_leaves_nothing_behind(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A refused rule changes neither triggers nor counts."""

    async def test(case: Case) -> None:
        before = list(case.content.all("trigger"))
        with pytest.raises(InvalidInput, match=message):
            await case.content.create("rule", rule(**changes))
        assert case.content.all("trigger") == before

    drive(tmp_path, test)


def test_rule_may_name_an_action_that_is_not_there(tmp_path: Path) -> None:
    """The action may come later."""

    async def test(case: Case) -> None:
        created = await case.content.create("rule", rule(action={"ref": "default.later"}))
        assert created.action.ref == "default.later"

    drive(tmp_path, test)


def test_second_of_a_name_is_a_conflict(tmp_path: Path) -> None:
    """The conflict names the one that is there; a rename onto it is one too."""

    async def test(case: Case) -> None:
        first = await case.content.create("action", {"name": "a", "runner_type": "noop"})
        with pytest.raises(Conflict, match="Tried to save duplicate unique keys") as caught:
            await case.content.create("action", {"name": "a", "runner_type": "noop"})
        assert caught.value.conflict_id == first.id
        await case.content.create("action", {"name": "b", "runner_type": "noop"})
        with pytest.raises(Conflict):
            await case.content.update("action", "default.b", {"name": "a", "runner_type": "noop"})

    drive(tmp_path, test)


def test_simultaneous_creations_have_one_winner(tmp_path: Path) -> None:
    """Of two callers that create the same at once, one gets a conflict."""

    async def test(case: Case) -> None:
        document = {"name": "a", "runner_type": "noop"}
        outcomes = await asyncio.gather(
            *(case.content.create("action", document) for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Action", "Conflict"]

    drive(tmp_path, test)


def test_update_keeps_the_id_and_may_rename(tmp_path: Path) -> None:
    """What is sent back as it was read is taken; a new name leaves the old one free."""

    async def test(case: Case) -> None:
        first = await case.content.create("action", {"name": "a", "runner_type": "noop"})
        document = {**msgspec.to_builtins(first), "name": "b", "enabled": False}
        changed = await case.content.update("action", first.id, document)
        assert (changed.id, changed.ref, changed.enabled) == (first.id, "default.b", False)
        with pytest.raises(NotFound):
            case.content.find("action", "default.a")
        again = await case.again()
        assert again.content.find("action", first.id) == changed

    drive(tmp_path, test)


def test_system_pack_cannot_be_manipulated(tmp_path: Path) -> None:
    """Nothing of the system pack can be created, changed or deleted by callers."""

    async def test(case: Case) -> None:
        document = {"name": "noop", "pack": "core", "runner_type": "noop"}
        for attempt in (
            case.content.create("action", {**document, "name": "new"}),
            case.content.update("action", "core.noop", document),
            case.content.delete("trigger_type", "core.st2.webhook"),
        ):
            with pytest.raises(InvalidInput, match="system level packs can't be manipulated"):
                await attempt

    drive(tmp_path, test)


def test_trigger_type_and_its_shadow(tmp_path: Path) -> None:
    """A type without parameters has a trigger of its own name, until it has parameters or is deleted."""

    async def test(case: Case) -> None:
        await case.content.create("trigger_type", {"name": "t", "pack": "default"})
        listening = await case.content.create("rule", rule(trigger={"type": "default.t"}))
        assert listening.trigger.ref == "default.t"
        with pytest.raises(InvalidInput, match="is used by 1 rules"):
            await case.content.delete("trigger_type", "default.t")
        await case.content.delete("rule", listening.ref)
        await case.content.delete("trigger_type", "default.t")
        with pytest.raises(NotFound):
            case.content.find("trigger", "default.t")
        schema = {"type": "object", "properties": {"p": {"type": "string"}}}
        document = {"name": "t", "pack": "default", "parameters_schema": schema}
        await case.content.create("trigger_type", document)
        with pytest.raises(InvalidInput, match='missing required "parameters"'):
            await case.content.create("rule", rule(trigger={"type": "default.t"}))

    drive(tmp_path, test)


def test_payload_is_checked_for_own_types_alone(tmp_path: Path) -> None:
    """A payload gets defaults and is checked; what the system pack emits is taken as it is."""

    async def test(case: Case) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
        await case.content.create("trigger_type", {"name": "t", "payload_schema": schema})
        assert case.content.payload_of("default.t", {}) == {"n": 1}
        with pytest.raises(InvalidInput, match="is not of type"):
            case.content.payload_of("default.t", {"n": "x"})
        assert case.content.payload_of("core.st2.IntervalTimer", {}) == {}

    drive(tmp_path, test)


def test_runner_types_follow_the_plugins(tmp_path: Path) -> None:
    """Ids and the enabled flag stay over a restart; what no plugin offers any more is gone."""

    async def test(case: Case) -> None:
        noop = await case.content.update("runner_type", "noop", {"enabled": False, "name": "x"})
        await case.content.sync_runner_types(OFFERS[2:])
        assert case.content.find("runner_type", noop.id) == noop
        assert [runner.name for runner in case.content.all("runner_type")] == [
            "announcement",
            "noop",
        ]
        with pytest.raises(InvalidInput, match="is not found"):
            await case.content.create("action", {"name": "a", "runner_type": "local-shell-cmd"})

    drive(tmp_path, test)


def test_change_and_announcement_commit_together(tmp_path: Path) -> None:
    """Each commit carries what announces it; listeners hear of changes that are durable."""

    async def test(case: Case) -> None:
        case.told.clear()
        announced = case.store.count("outbox")
        await case.content.create("rule", rule())
        assert case.store.count("outbox") == announced + 1
        assert [(change.kind, change.verb) for change in case.told] == [
            ("trigger", "create"),
            ("rule", "create"),
        ]
        assert [change.item for change in case.told] == [
            change.item for change in case.announced[-1]
        ]

    drive(tmp_path, test)


def test_action_brings_its_files(tmp_path: Path) -> None:
    """Files go to the operator's own copy of a bundled pack, and can leave with the action."""

    async def test(case: Case) -> None:
        document = {
            "name": "a",
            "runner_type": "local-shell-script",
            "entry_point": "a.sh",
            "data_files": [{"file_path": "a.sh", "content": "echo hi"}],
        }
        action = await case.content.create("action", document)
        assert case.content.entry_point_text(action) == "echo hi"
        assert case.content.pack_path("default") == case.folder / "default"
        assert not (BUNDLED / "default" / "actions").exists() or not list(
            (BUNDLED / "default" / "actions").iterdir()
        )
        await case.content.delete("action", action.ref, remove_files=True)
        assert not (case.folder / "default/actions/a.sh").exists()

    drive(tmp_path, test)


def test_refused_action_writes_no_file(tmp_path: Path) -> None:
    """A path out of the pack refuses the action as a whole."""

    async def test(case: Case) -> None:
        files = [{"file_path": "../../x", "content": ""}]
        with pytest.raises(InvalidInput, match="Invalid file path"):
            await case.content.create(
                "action", {"name": "a", "runner_type": "noop", "data_files": files}
            )
        with pytest.raises(NotFound):
            case.content.find("action", "default.a")

    drive(tmp_path, test)


def test_clone_copies_action_and_script(tmp_path: Path) -> None:
    """A clone runs by itself; an existing target has to be overwritten on purpose."""

    async def test(case: Case) -> None:
        copied = await case.content.clone("core.echo", "default", "say")
        assert (copied.ref, copied.entry_point) == ("default.say", "say.sh")
        assert "printf" in case.content.entry_point_text(copied)
        with pytest.raises(InvalidInput, match="already exists"):
            await case.content.clone("core.noop", "default", "say")
        replaced = await case.content.clone("core.noop", "default", "say", overwrite=True)
        assert (replaced.id, replaced.runner_type) == (copied.id, "noop")
        with pytest.raises(InvalidInput, match="Destination pack 'nowhere'"):
            await case.content.clone("core.noop", "nowhere", "say")

    drive(tmp_path, test)


FILES = {
    "actions/good.yaml": "name: good\nrunner_type: noop\n",
    "actions/twice.yaml": "name: good\nrunner_type: noop\n",
    "actions/runner.yaml": "name: a\nrunner_type: teleport\n",
    "triggers/t.yaml": "name: t\n",
    "rules/good.yaml": "name: good\ntrigger: {type: x.t}\naction: {ref: x.good}\n",
    "rules/lost.yaml": "name: lost\ntrigger: {type: y.t}\naction: {ref: x.good}\n",
}


def test_registering_takes_the_good_and_reports_the_bad(tmp_path: Path) -> None:
    """Every refusal comes with its file, after the rest was taken over; it is remembered."""

    async def test(case: Case) -> None:
        make_pack(case.folder, "x", FILES)
        with pytest.raises(ContentErrors) as caught:
            await case.content.register(["x"])
        assert sorted(str(refusal).partition(":")[0] for refusal in caught.value.refusals) == [
            "x/actions/runner.yaml",
            "x/actions/twice.yaml",
            "x/rules/lost.yaml",
        ]
        counts = await case.content.register(["x"], ["actions", "rule"], fail_on_failure=False)
        assert counts == {"actions": 1, "rules": 1}
        assert case.content.find("rule", "x.good").trigger.ref == "x.t"
        again = await case.again()
        assert len(again.content.refusals()["x"]) == 3

    drive(tmp_path, test)


def test_registering_again_changes_what_changed(tmp_path: Path) -> None:
    """Ids stay, unchanged items are not touched, and a rule's trigger is counted once."""

    async def test(case: Case) -> None:
        folder = make_pack(case.folder, "x", {"actions/a.yaml": "name: a\nrunner_type: noop\n"})
        (folder / "rules").mkdir()
        (folder / "rules/r.yaml").write_text(
            "name: r\ntrigger: {type: core.st2.webhook, parameters: {url: x}}\naction: {ref: x.a}\n"
        )
        await case.content.register(["x"])
        first = case.content.find("action", "x.a")
        (folder / "actions/a.yaml").write_text("name: a\nrunner_type: noop\ndescription: new\n")
        case.told.clear()
        await case.content.register(["x"])
        assert [(c.kind, c.verb) for c in case.told] == [("action", "update")]
        assert case.content.find("action", "x.a").id == first.id
        assert case.content.webhook("x").ref_count == 1

    drive(tmp_path, test)


def test_unknown_pack_and_type_are_refused(tmp_path: Path) -> None:
    """Both name what there is."""

    async def test(case: Case) -> None:
        with pytest.raises(InvalidInput, match='Pack "nope" not found on disk'):
            await case.content.register(["nope"])
        with pytest.raises(InvalidInput, match="Allowed: all, runners"):
            await case.content.register(None, ["cheese"])

    drive(tmp_path, test)


def test_everything_that_callers_may_not_create(tmp_path: Path) -> None:
    """Packs come from disk and runner types from plugins."""

    async def test(case: Case) -> None:
        for kind in ("pack", "runner_type", "trigger", "cheese"):
            with pytest.raises(InvalidInput, match="cannot be created or changed"):
                await case.content.create(kind, {})
        with pytest.raises(InvalidInput, match="cannot be deleted this way"):
            await case.content.delete("pack", "examples")

    drive(tmp_path, test)
