"""A rule set is a value: changing it gives another."""

from whimbrel.rules import RuleSet

from tests.unit.rules.rule_set import TRIGGER, equals, rule


def names(rule_set: RuleSet) -> list[str]:
    """Return the names of all rules, in order."""
    return [each.name for each in rule_set]


def test_adding_and_removing() -> None:
    """The old set is as it was; the new one has the rule, or has it no more."""
    empty = RuleSet()
    one = empty.with_rule(rule("a"))
    two = one.with_rule(rule("b"))
    assert (names(empty), names(one), names(two)) == ([], ["a"], ["a", "b"])
    assert names(two.without_rule("test.a")) == ["b"]
    assert two.without_rule("test.unknown") is two
    assert len(two) == 2


def test_a_replaced_rule_keeps_its_place() -> None:
    """A rule of the same ref takes the place of the old one."""
    rule_set = RuleSet([rule("a"), rule("b"), rule("c")])
    changed = rule_set.with_rule(rule("b", equals("trigger.x", 1)))
    assert names(changed) == ["a", "b", "c"]
    assert [bool(each.criteria) for each in changed] == [False, True, False]


def test_a_rule_can_move_to_another_trigger() -> None:
    """A rule listens to one trigger only, the last it was given."""
    moved = RuleSet([rule("a"), rule("b")]).with_rule(rule("a", trigger="test.other"))
    here, there = moved.bucket(TRIGGER), moved.bucket("test.other")
    assert here is not None
    assert there is not None
    assert [compiled.rule.name for compiled in here.rules] == ["b"]
    assert [compiled.rule.name for compiled in there.rules] == ["a"]


def test_buckets_of_other_triggers_are_shared() -> None:
    """A change rebuilds the rules of its own trigger only."""
    rule_set = RuleSet([rule("a"), rule("b", trigger="test.other")])
    changed = rule_set.with_rule(rule("c"))
    assert changed.bucket("test.other") is rule_set.bucket("test.other")


def test_a_trigger_without_rules_has_no_bucket() -> None:
    """The last rule of a trigger takes its bucket along."""
    assert RuleSet([rule("a")]).without_rule("test.a").bucket(TRIGGER) is None


def test_many_rules_can_be_added_one_by_one() -> None:
    """Adding does not compile again what is there."""
    rule_set = RuleSet()
    for number in range(300):
        rule_set = rule_set.with_rule(rule(f"r{number}", equals("trigger.a", number)))
    bucket = rule_set.bucket(TRIGGER)
    assert bucket is not None
    assert [c.rule.name for c in bucket.candidates({"trigger": {"a": 7}})] == ["r7"]
