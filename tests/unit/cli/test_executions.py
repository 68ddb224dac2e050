"""Executions: shown, listed, stopped, held, followed."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import CHILD, EXECUTION, EXECUTION_ID, RUNNING, WORKFLOW, WORKFLOW_ID
from tests.unit.cli.served import Reply, Request, Served

PATH = f"/api/v1/executions/{EXECUTION_ID}"
DONE = f"Execution {EXECUTION_ID} has completed (status=succeeded).\n"


def test_an_execution_is_shown_as_text(server: Served, whimbrel: Whimbrel) -> None:
    """Values stand after their names, inner ones below; passwords are masked."""
    server.on("GET", PATH, Reply(EXECUTION))

    assert (
        f"id: {EXECUTION_ID}\n"
        "action.ref: core.local\n"
        "context.user: ann\n"
        "parameters: \n"
        "  cmd: echo hi\n"
        "  password: '********'\n"
        "status: succeeded (2s elapsed)\n"
        "start_timestamp: Tue, 14 Nov 2023 22:10:00 UTC\n"
        "end_timestamp: Tue, 14 Nov 2023 22:10:02 UTC\n"
        "log: \n"
        "  - status: requested\n"
        "    timestamp: '2023-11-14T22:10:00.000000Z'\n"
        "result: \n"
        "  items:\n"
        "  - 1\n"
        "  - a: null\n"
        "  return_code: 0\n"
        "  stderr: ''\n"
        "  stdout: |-\n"
        "    hi\n"
        "    there\n"
    ) == whimbrel("execution", "get", EXECUTION_ID).output


def test_a_terminal_gets_colours_unless_it_objects(server: Served, whimbrel: Whimbrel) -> None:
    """Names and statuses are coloured; NO_COLOR and a dumb terminal get plain text."""
    server.on("GET", PATH, Reply(EXECUTION))
    words = ("execution", "get", EXECUTION_ID)

    assert "\033[92msucceeded\033[0m (2s elapsed)" in whimbrel(*words, terminal=True).output
    for refusal in ({"NO_COLOR": "1"}, {"ST2_COLORIZE": "x"}, {"TERM": "dumb"}):
        assert "\033[" not in whimbrel(*words, terminal=True, **refusal).output


def test_moments_are_shown_in_the_configured_timezone(
    server: Served, whimbrel: Whimbrel, tmp_path: Any
) -> None:
    """The timezone of the configuration file is used, and named."""
    server.on("GET", PATH, Reply(EXECUTION))
    (tmp_path / "config").write_text("[cli]\ntimezone = Europe/Berlin\n")

    outcome = whimbrel("--config-file", str(tmp_path / "config"), "execution", "get", EXECUTION_ID)

    assert "start_timestamp: Tue, 14 Nov 2023 23:10:00 CET" in outcome.output


def test_a_running_execution_shows_how_long_it_has_been(server: Served, whimbrel: Whimbrel) -> None:
    """Without an end, the time since the start counts; there is no result yet."""
    server.on("GET", PATH, Reply(RUNNING))

    output = whimbrel("execution", "get", EXECUTION_ID).output

    assert "status: running (200s elapsed)" in output
    assert "result: None" in output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-k", "stdout"], "hi\nthere\n"),
        (["-k", "return_code"], "0\n"),
        (["-k", "items"], '[\n    1,\n    {\n        "a": null\n    }\n]\n'),
        (["-k", "none"], "None\n"),
        (["--attr", "status"], "status: succeeded (2s elapsed)\n"),
    ],
)
def test_parts_of_an_execution(
    words: list[str], expected: str, server: Served, whimbrel: Whimbrel
) -> None:
    """-k is a key of the result, text as it is; --attr chooses attributes."""
    server.on("GET", PATH, Reply(EXECUTION))

    assert expected == whimbrel("execution", "get", EXECUTION_ID, *words).output


def test_the_result_can_be_left_out(server: Served, whimbrel: Whimbrel) -> None:
    """-x does not even ask for it."""
    server.on("GET", PATH, Reply(EXECUTION))

    outcome = whimbrel("execution", "get", EXECUTION_ID, "-x", "-j")

    assert "result" not in outcome.json()
    assert server.requests[0].query == {"exclude_attributes": "result"}


def test_a_workflow_is_shown_with_its_tasks(server: Served, whimbrel: Whimbrel) -> None:
    """Text has a table of the tasks, JSON a second document; --raw has neither."""
    server.on("GET", f"/api/v1/executions/{WORKFLOW_ID}", Reply(WORKFLOW))
    server.on("GET", f"/api/v1/executions/{WORKFLOW_ID}/children", Reply([CHILD]))
    words = ("execution", "get", WORKFLOW_ID)

    table = whimbrel(*words).output
    documents = whimbrel(*words, "-j").output
    raw = whimbrel(*words, "-j", "--raw").output

    assert f"| {CHILD['id']} | succeeded (2s elapsed) | first | core.local |" in table
    first, end = json.JSONDecoder().raw_decode(documents)
    assert first["id"] == WORKFLOW_ID
    assert [
        {
            "id": CHILD["id"],
            "status": "succeeded (2s elapsed)",
            "task": "first",
            "action": "core.local",
            "start_timestamp": CHILD["start_timestamp"],
        }
    ] == json.loads(documents[end:])
    assert first == json.loads(raw)
    assert server.requests[1].query["depth"] == "-1"


def test_tasks_of_what_is_no_workflow_are_an_error(server: Served, whimbrel: Whimbrel) -> None:
    """--show-tasks exits with 1 for a plain action."""
    server.on("GET", PATH, Reply(EXECUTION))

    outcome = whimbrel("execution", "get", EXECUTION_ID, "--show-tasks")

    assert outcome.code == 1
    assert "--show-tasks option can only be used with workflow actions" in outcome.errors


def test_the_list_is_oldest_first_of_the_newest(server: Served, whimbrel: Whimbrel) -> None:
    """The server sends the newest first; the newest is shown last, next to the prompt."""
    server.on("GET", "/api/v1/executions", Reply([WORKFLOW, EXECUTION]))

    outcome = whimbrel(
        "execution", "list", "-j", "--status", "failed", "-tg", "2023-01-01T00:00:00Z"
    )

    assert [document["id"] for document in outcome.json()] == [EXECUTION_ID, WORKFLOW_ID]
    assert server.requests[0].query == {
        "limit": "50",
        "parent": "null",
        "sort_desc": "true",
        "status": "failed",
        "timestamp_gt": "2023-01-01T00:00:00Z",
        "include_attributes": "id,action.ref,context.user,status,start_timestamp,end_timestamp",
    }


def test_tasks_are_listed_when_asked_for(server: Served, whimbrel: Whimbrel) -> None:
    """--showall lifts the restriction to what has no parent."""
    server.on("GET", "/api/v1/executions", Reply([]))

    whimbrel("execution", "list", "-l", "-s", "asc", "-n", "-1")

    query = server.requests[0].query
    assert ("parent" in query, query["sort_asc"], query["limit"]) == (False, "true", "-1")


def test_cancel_tells_of_each(server: Served, whimbrel: Whimbrel) -> None:
    """One that has ended or is not there does not keep the others from being stopped."""
    server.on("DELETE", PATH, Reply(EXECUTION))
    server.on("DELETE", "/api/v1/executions/b", Reply({"faultstring": "State = succeeded."}))
    server.on("DELETE", "/api/v1/executions/c", Reply({"faultstring": "no c"}, 404))

    outcome = whimbrel("execution", "cancel", "c", "b", EXECUTION_ID)

    assert (
        0,
        f"no c\nState = succeeded.\naction execution with id {EXECUTION_ID} canceled.\n",
    ) == outcome[:2]


@pytest.mark.parametrize(("verb", "status"), [("pause", "pausing"), ("resume", "resuming")])
def test_pause_and_resume_ask_for_a_status(
    verb: str, status: str, server: Served, whimbrel: Whimbrel
) -> None:
    """The execution is shown as the server answers."""
    server.on("PUT", PATH, Reply({**EXECUTION, "status": status}))

    assert status == whimbrel("execution", verb, EXECUTION_ID, "-j").json()["status"]
    assert {"status": status} == server.requests[0].document()


def test_pausing_what_cannot_be_paused_exits_2(server: Served, whimbrel: Whimbrel) -> None:
    """A refused operation is told from other errors."""
    server.on("PUT", PATH, Reply({"faultstring": "no workflow"}, 400))

    assert whimbrel("execution", "pause", EXECUTION_ID).code == 2


# ------------------------------------------------------------------ tail
def events(*pairs: tuple[str, dict[str, Any]]) -> Reply:
    """Return a stream of events, with a heartbeat before each."""
    frames = (f"\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in pairs)
    return Reply(text="".join(frames), headers={"Content-Type": "text/event-stream"})


def output(identifier: str, text: str, kind: str = "stdout") -> tuple[str, dict[str, Any]]:
    """Return an event that carries output."""
    data = {"execution_id": identifier, "output_type": kind, "data": text, "timestamp": "T"}
    return ("st2.execution.output__create", data)


def update(identifier: str, status: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Return an event that carries a status."""
    return ("st2.execution__update", {"id": identifier, "status": status, **more})


TASK = {"parent": EXECUTION_ID, "context": {"orquesta": {"task_name": "t1"}}}
STREAM = events(
    update(EXECUTION_ID, "running"),
    output(EXECUTION_ID, "hello\n"),
    output("stranger", "not ours\n"),
    update("c1", "running", **TASK),
    output("c1", "half a line"),
    update("c1", "succeeded", **TASK),
    output(EXECUTION_ID, "oops\n", "stderr"),
    update(EXECUTION_ID, "succeeded"),
    output(EXECUTION_ID, "after the end\n"),
)


def test_tail_shows_output_of_the_execution_and_its_tasks(
    server: Served, whimbrel: Whimbrel
) -> None:
    """Starts and ends stand apart from the output, which ends with the execution."""
    server.on("GET", PATH, Reply(RUNNING))
    server.on("GET", "/stream/v1/stream", STREAM)

    outcome = whimbrel("execution", "tail", EXECUTION_ID)

    assert (
        f"Execution {EXECUTION_ID} has started.\n"
        "\n"
        "hello\n"
        "\n"
        "Child execution (task=t1) c1 has started.\n"
        "\n"
        "half a line\n"
        "\n"
        "Child execution (task=t1) c1 has finished (status=succeeded).\n"
        "\n"
        "oops\n"
        "\n"
        f"{DONE}"
    ) == outcome.output
    stream = next(request for request in server.requests if request.query)
    assert stream.query == {
        "end_event": "st2.execution__update",
        "end_execution_id": EXECUTION_ID,
        "events": "st2.execution__update,st2.execution.output__create",
    }
    assert stream.headers["x-auth-token"] == "tok"


def test_tail_can_show_one_stream_with_its_times(server: Served, whimbrel: Whimbrel) -> None:
    """--type leaves the other out; --include-metadata tells time and stream."""
    server.on("GET", PATH, Reply(RUNNING))
    server.on("GET", "/stream/v1/stream", STREAM)

    outcome = whimbrel("execution", "tail", EXECUTION_ID, "--type", "stderr", "--include-metadata")

    assert "[T][stderr] oops\n" in outcome.output
    assert "hello" not in outcome.output


def test_tail_of_an_ended_execution_prints_what_it_had(server: Served, whimbrel: Whimbrel) -> None:
    """Without an id it is the latest one."""
    server.on("GET", "/api/v1/executions", Reply([EXECUTION]))
    server.on("GET", f"{PATH}/output", Reply(text="one\ntwo"))

    assert f"one\ntwo\n\n{DONE}" == whimbrel("execution", "tail").output


def test_tail_notices_an_end_that_came_before_the_stream(
    server: Served, whimbrel: Whimbrel
) -> None:
    """An execution that ends while the stream is being opened is not waited for."""
    server.on("GET", PATH, Reply(RUNNING), Reply(EXECUTION))
    server.on("GET", f"{PATH}/output", Reply(text="late\n"))
    server.on("GET", "/stream/v1/stream", events())

    outcome = whimbrel("execution", "tail", EXECUTION_ID)

    assert outcome.output.endswith(f"late\n\n{DONE}")


def test_a_stream_that_ends_too_early_is_an_error(server: Served, whimbrel: Whimbrel) -> None:
    """What was shown is not taken for all; an end that the stream left out is told."""
    server.on("GET", "/stream/v1/stream", events(output(EXECUTION_ID, "some\n")))
    server.on("GET", PATH, Reply(RUNNING))
    cut = whimbrel("execution", "tail", EXECUTION_ID)
    server.on("GET", PATH, Reply(RUNNING), Reply(RUNNING), Reply(EXECUTION))
    late = whimbrel("execution", "tail", EXECUTION_ID)

    assert cut.code == 1
    assert "tail it again" in cut.errors
    assert late.output.endswith(f"some\n\n{DONE}")


def test_tail_of_an_unknown_execution_exits_1(server: Served, whimbrel: Whimbrel) -> None:
    """The id is named."""

    def refuse(request: Request) -> Reply:
        return Reply({"faultstring": request.path}, 404)

    server.on("GET", "/api/v1/executions/x", refuse)

    outcome = whimbrel("execution", "tail", "x")

    assert (outcome.code, outcome.errors) == (1, 'ERROR: Execution "x" is not found.\n')
