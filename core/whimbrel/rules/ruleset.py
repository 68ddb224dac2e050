"""Rules, compiled and found by the event they wait for."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from whimbrel.expr import PlainPath, Templates
from whimbrel.model import Rule
from whimbrel.rules.criteria import Criterion

BACKSTOP = "backstop"
_ROOT = "trigger"
_EQUALS = "equals"
_MEMBERSHIP = "inside", "ninside"

Steps = tuple[str | int, ...]


class CompiledRule:
    """A rule with its criteria compiled, in their order."""

    __slots__ = ("criteria", "malformed", "rule")

    def __init__(self, rule: Rule, templates: Templates) -> None:
        self.rule = rule
        self.criteria: list[Criterion] = []
        self.malformed: Mapping[str, Any] = {}
        for key, document in (rule.criteria or {}).items():
            if not isinstance(document, dict):
                # It fails when it is reached; those before it still decide first.
                self.malformed = {key: document}
                break
            self.criteria.append(Criterion(templates, key, document))

    def waits_for(self) -> tuple[Steps, Any] | None:
        """Return a path and the value that it must have, None when the rule has no such criterion.

        With any other value the rule neither matches nor fails, so it need not be asked at all.
        """
        for criterion in self.criteria:
            path = _safe_path(criterion)
            if path is None:
                return None
            if _is_equality(criterion):
                return path.steps, criterion.literal
            if not _cannot_fail(criterion):
                return None
        return None


def _safe_path(criterion: Criterion) -> PlainPath | None:
    """Return the path of a criterion when looking it up cannot fail."""
    try:
        path = criterion.path()
    except ValueError:
        return None
    if isinstance(path, PlainPath) and path.names and path.steps[0] == _ROOT:
        return path
    return None


def _is_equality(criterion: Criterion) -> bool:
    spec = criterion.spec
    literal = criterion.literal
    return spec is not None and spec.names[0] == _EQUALS and isinstance(literal, str | int | float)


def _cannot_fail(criterion: Criterion) -> bool:
    spec = criterion.spec
    if spec is None or not criterion.is_literal:
        return False
    return spec.total or (spec.names[0] in _MEMBERSHIP and isinstance(criterion.literal, list))


class Bucket:
    """The enabled rules of one trigger, indexed by the values they wait for at their first event."""

    __slots__ = ("_indexes", "_rest", "rules")

    def __init__(self, rules: tuple[CompiledRule, ...]) -> None:
        self.rules = rules
        self._rest: list[int] | None = None
        self._indexes: list[tuple[PlainPath, dict[Any, list[int]]]] = []

    def candidates(self, names: Mapping[str, Any]) -> Iterator[CompiledRule]:
        """Yield in order every rule that could match or fail with these names."""
        rest = self._index() if self._rest is None else self._rest
        found = list(rest)
        for path, positions in self._indexes:
            value = path.first(names)
            if isinstance(value, str | int | float):
                found += positions.get(value, ())
        found.sort()
        return (self.rules[position] for position in found)

    def _index(self) -> list[int]:
        rest: list[int] = []
        indexes: dict[Steps, dict[Any, list[int]]] = {}
        for position, compiled in enumerate(self.rules):
            if not compiled.rule.enabled:
                continue
            awaited = compiled.waits_for()
            if awaited is None:
                rest.append(position)
            else:
                steps, value = awaited
                indexes.setdefault(steps, {}).setdefault(value, []).append(position)
        self._indexes = [(PlainPath(steps), values) for steps, values in indexes.items()]
        self._rest = rest
        return rest


class RuleSet:
    """An immutable set of rules; a changed set shares what did not change.

    Rules keep the order in which they came; one that is replaced keeps its place.
    """

    __slots__ = ("_buckets", "_triggers", "templates")

    def __init__(self, rules: Iterable[Rule] = (), templates: Templates | None = None) -> None:
        self.templates = templates or Templates()
        self._triggers: dict[str, str] = {}
        by_trigger: dict[str, list[CompiledRule]] = {}
        for rule in {rule.ref: rule for rule in rules}.values():
            trigger = trigger_of(rule)
            self._triggers[rule.ref] = trigger
            by_trigger.setdefault(trigger, []).append(CompiledRule(rule, self.templates))
        self._buckets = {ref: Bucket(tuple(compiled)) for ref, compiled in by_trigger.items()}

    def __len__(self) -> int:
        return len(self._triggers)

    def __iter__(self) -> Iterator[Rule]:
        for bucket in self._buckets.values():
            for compiled in bucket.rules:
                yield compiled.rule

    def bucket(self, trigger: str) -> Bucket | None:
        """Return the rules that wait for the trigger with this ref."""
        return self._buckets.get(trigger)

    def with_rule(self, rule: Rule) -> "RuleSet":
        """Return a set with `rule` added, or in the place of the rule of the same ref."""
        trigger = trigger_of(rule)
        compiled = CompiledRule(rule, self.templates)
        if self._triggers.get(rule.ref, trigger) != trigger:
            return self.without_rule(rule.ref).with_rule(rule)
        bucket = self._buckets.get(trigger)
        others = bucket.rules if bucket else ()
        if rule.ref in self._triggers:
            rules = tuple(compiled if other.rule.ref == rule.ref else other for other in others)
        else:
            rules = (*others, compiled)
        return self._changed({**self._triggers, rule.ref: trigger}, trigger, rules)

    def without_rule(self, ref: str) -> "RuleSet":
        """Return a set without the rule of that ref; the same set when it has none."""
        trigger = self._triggers.get(ref)
        if trigger is None:
            return self
        rules = tuple(other for other in self._buckets[trigger].rules if other.rule.ref != ref)
        triggers = {other: where for other, where in self._triggers.items() if other != ref}
        return self._changed(triggers, trigger, rules)

    def _changed(
        self, triggers: dict[str, str], trigger: str, rules: tuple[CompiledRule, ...]
    ) -> "RuleSet":
        changed = RuleSet((), self.templates)
        changed._triggers = triggers
        changed._buckets = {**self._buckets, trigger: Bucket(rules)}
        if not rules:
            del changed._buckets[trigger]
        return changed


def trigger_of(rule: Rule) -> str:
    """Return the ref of the trigger that `rule` waits for: its concrete one, or else its type."""
    return rule.trigger.ref or rule.trigger.type
