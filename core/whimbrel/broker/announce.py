"""What is announced on the bus: CloudEvents without parameters, payloads, results or secrets."""

from typing import Any

from whimbrel.broker.views import summary
from whimbrel.bus import Announcement, cloud_event
from whimbrel.bus.subjects import announced
from whimbrel.model import Execution, KeyValue, TriggerInstance

SOURCE = "whimbrel"


def _announcement(
    kind: str, subject: str, *, message_id: str, time: str, data: Any
) -> Announcement:
    event = cloud_event(f"whimbrel.{kind}", SOURCE, message_id, time, data)
    return Announcement(subject, message_id, event)


def execution_announcement(execution: Execution) -> Announcement:
    """Return what is announced when an execution enters its present state."""
    entered = execution.log[-1]
    return _announcement(
        "execution",
        announced("execution", execution.status.value, execution.action_ref),
        message_id=f"{execution.id}.{len(execution.log)}.{execution.status.value}",
        time=entered.timestamp,
        data=summary(execution),
    )


def instance_announcement(instance: TriggerInstance) -> Announcement:
    """Return what is announced when an event was accepted."""
    data = {
        "trigger_instance_id": instance.id,
        "trigger": instance.trigger,
        "trigger_type": instance.trigger_type,
        "status": instance.status,
    }
    return _announcement(
        "trigger",
        announced("trigger", instance.trigger_type or instance.trigger),
        message_id=instance.id,
        time=instance.occurrence_time,
        data=data,
    )


def rule_announcement(ref: str, change: str, *, message_id: str, time: str) -> Announcement:
    """Return what is announced when a rule is created, updated or deleted."""
    data = {"rule": ref, "change": change}
    subject = announced("rule", change, ref)
    return _announcement("rule", subject, message_id=message_id, time=time, data=data)


def key_announcement(item: KeyValue, change: str, *, message_id: str, time: str) -> Announcement:
    """Return what is announced when a datastore item changes: its name, never its value."""
    data = {"name": item.name, "scope": item.scope, "user": item.user, "change": change}
    subject = announced("key", change, item.scope, item.name)
    return _announcement("key", subject, message_id=message_id, time=time, data=data)
