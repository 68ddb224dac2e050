"""Rules and events for tests, with only what a test is about."""

from datetime import UTC, datetime
from typing import Any

from whimbrel.model import Rule, RuleAction, RuleTrigger, RuleType

TRIGGER = "test.event"
NOW = datetime(2026, 7, 17, 12, tzinfo=UTC)


def rule(
    name: str = "r",
    criteria: dict[str, Any] | None = None,
    *,
    kind: str = "standard",
    enabled: bool = True,
    trigger: str = TRIGGER,
    parameters: dict[str, Any] | None = None,
) -> Rule:
    """Return a rule for the test trigger."""
    return Rule(
        id=name,
        ref=f"test.{name}",
        pack="test",
        name=name,
        enabled=enabled,
        type=RuleType(ref=kind),
        trigger=RuleTrigger(type=trigger),
        criteria=criteria or {},
        action=RuleAction(ref="core.noop", parameters=parameters or {}),
    )


def equals(path: str, value: object) -> dict[str, Any]:
    """Return criteria that want one value."""
    return {path: {"type": "equals", "pattern": value}}
