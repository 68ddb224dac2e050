"""Names of any kind become subjects, and no two names the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.bus import subjects


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("core.local", "core.local"),
        ("my pack.a*b", "my%20pack.a%2Ab"),
        ("a>b", "a%3Eb"),
        ("100%", "100%25"),
        ("", "%"),
        ("a..b", "a.%.b"),
        ("é", "%C3%A9"),
        ("two\r\nlines", "two%0D%0Alines"),
        ("core.st2.webhook", "core.st2.webhook"),
    ],
)
def test_names_become_tokens(name: str, expected: str) -> None:
    """Dots part, what NATS reserves is escaped."""
    assert subjects.tokens(name) == expected


@given(st.text(), st.text())
def test_different_names_have_different_tokens(one: str, other: str) -> None:
    """An escaped name stands for itself alone."""
    assert (subjects.tokens(one) == subjects.tokens(other)) == (one == other)


@given(st.sampled_from(subjects.ANNOUNCED_KINDS), st.lists(st.text(max_size=20), min_size=1))
def test_any_names_can_be_announced(kind: str, names: list[str]) -> None:
    """Whatever things are called, there is a subject to announce them on."""
    subject = subjects.announced(kind, *names)

    assert subjects.is_announced(subject) == (len(subject) <= subjects.SUBJECT_LIMIT)


def test_a_name_cannot_leave_its_subject() -> None:
    """Wildcards in a ref do not widen it."""
    assert subjects.event("core.>") == "whimbrel.event.core.%3E"


@pytest.mark.parametrize(
    "subject",
    [
        "whimbrel.event.a",
        "whimbrel.execution",
        "whimbrel.execution.",
        "whimbrel.execution..a",
        "whimbrel.execution.*",
        "whimbrel.execution.a b",
        "whimbrel.execution.a\r\nPUB x",
        "whimbrel.refused.a",
        "Whimbrel.key.a",
    ],
)
def test_other_subjects_are_not_announced(subject: str) -> None:
    """Only what the stream takes, and nothing that could be another command."""
    assert not subjects.is_announced(subject)


def test_announcements_stay_out_of_the_event_stream() -> None:
    """The two streams do not overlap, which JetStream would refuse."""
    assert not any(pattern.startswith(subjects.EVENTS) for pattern in subjects.ANNOUNCED)
