"""Query parameters and timestamps."""

import pytest
from whimbrel.errors import InvalidInput
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.ports import BrokerPort
from whimbrel.gateway.query import FIELDS_MAX, converted, parse_query, parse_timestamp


async def nothing(broker: BrokerPort, request: Request) -> Reply:
    """Do nothing."""
    return Reply()


(ENDPOINT,) = described(
    Endpoint(
        method="GET",
        path="/",
        handler=nothing,
        summary="",
        params=(
            Param("text", ""),
            Param("count", "", Kind.INTEGER, 5),
            Param("flag", "", Kind.BOOLEAN, False),
            Param("names", "", Kind.LIST),
            Param("since", "", Kind.TIMESTAMP),
            Param("one", "", choices=("a", "b")),
        ),
    )
)
DEFAULTS = {"text": None, "count": 5, "flag": False, "names": None, "since": None, "one": None}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("unknown=1", {}),
        ("text=", {}),
        ("text=a%20b+c&text=second", {"text": "a b c"}),
        ("count=-1", {"count": -1}),
        ("flag=True", {"flag": True}),
        ("flag=YES", {"flag": True}),
        ("flag=False", {"flag": False}),
        ("flag=nonsense", {"flag": False}),
        ("names=a,b,,%20c", {"names": ["a", "b", "c"]}),
        ("since=2026-01-31 09:30:00Z", {"since": "2026-01-31T09:30:00.000000Z"}),
        ("one=b", {"one": "b"}),
    ],
)
def test_declared_parameters_are_converted(query: str, expected: dict[str, object]) -> None:
    """What is not given has its default, what is not declared is ignored."""
    assert converted(ENDPOINT, parse_query(query.encode())) == {**DEFAULTS, **expected}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("count=x", 'count: "x" is not a whole number'),
        ("one=c", 'one: "c" is not allowed; allowed are a, b'),
        ("since=yesterday", "since: Datetime value does not match expected format"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(query: str, expected: str) -> None:
    """The error names the parameter, the value and what is allowed."""
    with pytest.raises(InvalidInput, match=expected):
        converted(ENDPOINT, parse_query(query.encode()))


def test_a_query_is_bounded() -> None:
    """Too many fields are refused."""
    parse_query(b"&".join([b"a=1"] * FIELDS_MAX))
    with pytest.raises(InvalidInput, match=str(FIELDS_MAX)):
        parse_query(b"&".join([b"a=1"] * (FIELDS_MAX + 1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000000Z"),
        ("2026-01-31T09:30:00.123Z", "2026-01-31T09:30:00.123000Z"),
        ("2026-01-31 09:30:00.123456+00", "2026-01-31T09:30:00.123456Z"),
        ("2026-01-31T09:30:00+0000", "2026-01-31T09:30:00.000000Z"),
        ("2026-01-31T09:30:00+00:00", "2026-01-31T09:30:00.000000Z"),
    ],
)
def test_times_in_every_allowed_form(text: str, expected: str) -> None:
    """All come out as they are stored."""
    assert parse_timestamp(text, "t") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30:00+02:00",
        "2026-01-31T09:30:00.12Z",
        "2026-13-31T09:30:00Z",
        "2026-01-31T25:30:00Z",
        "٢٠٢٦-01-31T09:30:00Z",  # digits that are not ASCII
    ],
)
def test_other_times_are_refused(text: str) -> None:
    """UTC has to be said, and the day and the hour have to exist."""
    with pytest.raises(InvalidInput, match="t: Datetime value does not match expected format"):
        parse_timestamp(text, "t")
