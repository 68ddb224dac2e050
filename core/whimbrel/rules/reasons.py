"""Why a rule did not come to its action, beyond not matching."""

from enum import StrEnum

import msgspec

from whimbrel.expr import as_expression_error
from whimbrel.rules.operators import OperatorError


class Stage(StrEnum):
    """What the engine was doing when it failed."""

    RENDER_PATTERN = "render_pattern"
    LOOKUP_KEY = "lookup_key"
    FIND_OPERATOR = "find_operator"
    OPERATOR = "operator"
    RENDER_PARAMETERS = "render_parameters"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A failure: in which stage, of which fixed category, at which criterion, in words."""

    stage: Stage
    category: str
    key: str = ""
    message: str

    def __str__(self) -> str:
        place = f" {self.key!r}" if self.key else ""
        return f"{self.stage.replace('_', ' ')}{place}: {self.message}"


def reason_of(stage: Stage, key: str, error: Exception) -> Reason:
    """Return the record of `error`."""
    if isinstance(error, OperatorError):
        return Reason(stage=stage, key=key, category=error.category, message=str(error))
    known = as_expression_error(error)
    return Reason(stage=stage, key=key, category=known.category, message=str(known))
