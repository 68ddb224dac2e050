"""What packs bring: actions, rules, trigger types, runner types, sensors, packs.

Field names are StackStorm's, so that a stored document is the REST answer.
Every struct is frozen; `None` and defaults are left out of the encoded form only where REST does so.
"""

from typing import Any

import msgspec


class Named(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What all content has. `ref` is `pack.name`, unique per kind."""

    id: str
    uid: str = ""
    ref: str
    pack: str
    name: str
    description: str | None = None


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """An installed pack; `path` is its folder on this machine."""

    id: str
    ref: str
    uid: str
    name: str
    description: str
    version: str
    author: str
    email: str | None = None
    keywords: list[str] = []
    stackstorm_version: str | None = None
    python_versions: list[str] | None = None
    contributors: list[str] = []
    dependencies: list[str] = []
    files: list[str] = []
    system: dict[str, Any] = {}
    path: str | None = None


class Action(Named, frozen=True, kw_only=True):
    """A thing that can be run. `parameters` maps a name to its schema (draft 4 with `required`)."""

    enabled: bool = True
    entry_point: str = ""
    metadata_file: str = ""
    runner_type: str
    parameters: dict[str, dict[str, Any]] = {}
    output_schema: dict[str, Any] = {}
    tags: list[dict[str, Any]] = []
    notify: dict[str, Any] = {}


class RunnerType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of runner that some plugin offers, in StackStorm's shape."""

    id: str
    uid: str
    name: str
    description: str = ""
    enabled: bool = True
    runner_package: str = ""
    runner_module: str = ""
    query_module: str | None = None
    runner_parameters: dict[str, dict[str, Any]] = {}
    output_key: str | None = None
    output_schema: dict[str, Any] | None = None
    aliases: list[str] = []


class TriggerType(Named, frozen=True, kw_only=True):
    """A kind of event: what its parameters and its payload look like."""

    payload_schema: dict[str, Any] = {}
    parameters_schema: dict[str, Any] = {}
    tags: list[dict[str, Any]] = []
    metadata_file: str | None = None


class Trigger(Named, frozen=True, kw_only=True):
    """A trigger type with parameters; rules with equal (type, parameters) share one."""

    type: str
    parameters: dict[str, Any] = {}
    ref_count: int = 0


class RuleType(msgspec.Struct, frozen=True, kw_only=True):
    """`standard`, or `backstop`: only considered when no standard rule matched."""

    ref: str = "standard"
    parameters: dict[str, Any] = {}


class RuleTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule listens to; `ref` is the concrete trigger's."""

    type: str
    parameters: dict[str, Any] = {}
    ref: str = ""
    description: str | None = None


class RuleAction(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule starts."""

    ref: str
    parameters: dict[str, Any] = {}
    description: str | None = None


class Rule(Named, frozen=True, kw_only=True):
    """Trigger, criteria, action. The order of `criteria` is the order of their evaluation."""

    enabled: bool = False
    type: RuleType = RuleType()
    trigger: RuleTrigger
    criteria: dict[str, dict[str, Any]] = {}
    action: RuleAction
    context: dict[str, Any] = {}
    tags: list[dict[str, Any]] = []
    metadata_file: str | None = None
