"""What deciding and rendering cost: 10 rules against 10,000, cached templates against new ones."""

import itertools
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from whimbrel.expr import Templates
from whimbrel.model import Rule, RuleAction, RuleTrigger
from whimbrel.rules import RuleSet, TriggerFacts, decide

TRIGGER = "bench.event"
NOW = datetime(2026, 7, 17, 12, tzinfo=UTC)
FEW, MANY = 10, 10_000
ROUNDS = 7
SECONDS_PER_ROUND = 0.05


def rule(number: int) -> Rule:
    """Return a rule that matches the events of one host when its load is high."""
    return Rule(
        id=f"{number:024x}",
        ref=f"bench.rule{number}",
        pack="bench",
        name=f"rule{number}",
        enabled=True,
        trigger=RuleTrigger(type=TRIGGER),
        criteria={
            "trigger.kind": {"type": "exists", "pattern": True},
            "trigger.host": {"type": "equals", "pattern": f"host{number}"},
            "trigger.load": {"type": "gt", "pattern": 5},
        },
        action=RuleAction(ref="core.noop", parameters={"host": "{{ trigger.host }}"}),
    )


def event() -> TriggerFacts:
    """Return an event that one rule of each set matches."""
    return TriggerFacts(TRIGGER, {"kind": "load", "host": "host7", "load": 9.5})


def microseconds(work: Callable[[], object]) -> float:
    """Return the median cost of a call over some rounds, in CPU time."""
    costs = []
    for _ in range(ROUNDS):
        calls, start = 0, time.process_time()
        while (spent := time.process_time() - start) < SECONDS_PER_ROUND:
            work()
            calls += 1
        costs.append(spent / calls * 1e6)
    return statistics.median(costs)


def measure() -> dict[str, float]:
    """Return the figures: microseconds, and the ratios that the design promises."""
    few, many = (RuleSet(rule(number) for number in range(count)) for count in (FEW, MANY))
    happened = event()
    assert len(decide(many, happened, NOW)) == 1
    with_few = microseconds(lambda: decide(few, happened, NOW))
    with_many = microseconds(lambda: decide(many, happened, NOW))
    templates = Templates()
    text, names = "{{ trigger.host }} is at {{ trigger.load }}", {"trigger": happened.payload}
    cached = microseconds(lambda: templates.render(text, names))
    numbers = itertools.count()
    first = microseconds(lambda: templates.render(f"{text} {next(numbers)}", names))
    return {
        "decide_10_rules_us": with_few,
        "decide_10000_rules_us": with_many,
        "decide_ratio": with_many / with_few,
        "render_cached_us": cached,
        "render_first_us": first,
        "render_plain_us": microseconds(lambda: templates.render("no template", names)),
        "render_ratio": first / cached,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
