"""The rules engine: pure, from a rule set and an event to decisions."""

from whimbrel.rules.criteria import Criterion, Outcome
from whimbrel.rules.decide import (
    Decision,
    Explanation,
    Failed,
    Matched,
    TriggerFacts,
    decide,
    explain,
    names_of,
)
from whimbrel.rules.operators import (
    CONDITIONS,
    OPERATOR_NAMES,
    OPERATORS,
    OperatorError,
    OperatorSpec,
)
from whimbrel.rules.reasons import Reason, Stage
from whimbrel.rules.ruleset import RuleSet

__all__ = [
    "CONDITIONS",
    "OPERATORS",
    "OPERATOR_NAMES",
    "Criterion",
    "Decision",
    "Explanation",
    "Failed",
    "Matched",
    "OperatorError",
    "OperatorSpec",
    "Outcome",
    "Reason",
    "RuleSet",
    "Stage",
    "TriggerFacts",
    "decide",
    "explain",
    "names_of",
]
