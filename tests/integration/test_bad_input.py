"""A whole broker against bad input: each mistake is told with its place, and nothing accepted is lost."""

import asyncio
import base64
import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import nats
import pytest
from whimbrel.testing import BrokerProcess, StartFailed
from whimbrel.testing.process import PASSWORD, USER

SECONDS_MAX = 30.0
KIB = 1 << 10
MIB = 1 << 20
BODY_MAX = 2 * MIB
WEBHOOK_MAX = 64 * KIB
PAYLOAD_MAX = 32 * KIB
FINAL = {"succeeded", "failed", "timeout", "abandoned", "canceled"}
DEEP = "[" * 100_000

MANIFEST = """\
name: {name}
kind: runner
version: 0.1.0
command: [{command}]
start_timeout: {start_timeout}
runners:
  - name: {name}.work
  - name: {name}.more
"""
LIAR = """\
from whimbrel_sdk import Outcome, Plugin, Run, serve

plugin = Plugin(name="liar", version="0.1.0")


@plugin.runner("liar.work")
async def work(run: Run) -> Outcome:
    return Outcome.succeeded()


serve(plugin)
"""
PACK_FILES: dict[str, str | bytes] = {
    "pack.yaml": "name: mixed\nref: mixed\ndescription: d\nversion: 1.0.0\nauthor: a\nemail: a@b.cd\n",
    "actions/good.yaml": "name: good\nrunner_type: local-shell-cmd\nentry_point: ''\nenabled: true\n"
    "parameters:\n  cmd:\n    default: echo good\n    immutable: true\n",
    "actions/liar.yaml": "name: liar\nrunner_type: liar.more\nentry_point: ''\nenabled: true\n",
    "actions/sleeper.yaml": "name: sleeper\nrunner_type: sleeper.work\nentry_point: ''\n"
    "enabled: true\n",
    "actions/missing.yaml": "name: missing\nrunner_type: missing.work\nentry_point: ''\n"
    "enabled: true\n",
    "actions/syntax.yaml": "name: [broken\nrunner_type: local-shell-cmd\n",
    "actions/twice.yaml": "name: twice\nname: again\nrunner_type: local-shell-cmd\n",
    "actions/deep.yaml": f"name: {DEEP}\n",
    "actions/bytes.yaml": b"name: \xff\xfe\n",
    "actions/unknown.yaml": "name: unknown\nrunner_type: local-shell-cmd\nsurprise: 1\n",
    "actions/typed.yaml": "name: typed\nrunner_type: local-shell-cmd\nenabled: perhaps\n",
    "actions/laughs.yaml": "name: x\na: &a [1,2,3,4,5,6,7,8,9]\n"
    + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
    ),
    "actions/list.yaml": "- name: x\n",
    "actions/empty.yaml": "",
    "rules/broken.yaml": "name: broken\ntrigger: {type: core.st2.webhook}\naction: {ref: a.b}\n",
}
REFUSED_PLUGINS = {
    "unknown-key": ("surprise: 1\n", "/surprise: unknown key; allowed are"),
    "deep": (f"description: {DEEP}\n", "nesting is limited to 100"),
    "endless": ("description: &a [*a]\n", "nest"),
    "twice": ("kind: runner\n", "the key 'kind' stands twice"),
    "typed": ("stop_grace: soon\n", "/stop_grace"),
}


def write_plugins(folder: Path) -> Path:
    """Write plugins that lie, never get ready, or whose manifest is wrong; return their folder."""
    for name, command, timeout in (
        ("liar", "python, liar.py", "20"),
        ("sleeper", "sleep, '3600'", "0.3"),
        ("missing", "/no/such/program", "5"),
    ):
        (folder / name).mkdir(parents=True)
        text = MANIFEST.format(name=name, command=command, start_timeout=timeout)
        (folder / name / "plugin.yaml").write_text(text)
    (folder / "liar" / "liar.py").write_text(LIAR)
    for name, (line, _) in REFUSED_PLUGINS.items():
        (folder / name).mkdir()
        text = MANIFEST.format(name=name, command="sleep", start_timeout=1)
        (folder / name / "plugin.yaml").write_text(text + line)
    return folder


def write_pack(folder: Path) -> Path:
    """Write a pack of which little is right; return the folder of packs."""
    for name, content in PACK_FILES.items():
        file = folder / "mixed" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Run one broker with bad packs and plugins for all tests that do not end it."""
    folder = tmp_path_factory.mktemp("b")
    with BrokerProcess(
        folder,
        packs_paths=write_pack(folder / "packs"),
        plugin_paths=write_plugins(folder / "plugins"),
        max_body_bytes=BODY_MAX,
        max_webhook_body_bytes=WEBHOOK_MAX,
        max_payload_bytes=PAYLOAD_MAX,
    ) as running:
        yield running
        status, _ = running.call("GET", "/health")
        assert HTTPStatus.OK == status
        assert "Traceback" not in running.printed()


def send(
    broker: BrokerProcess,
    method: str,
    path: str,
    body: bytes,
    content_type: str = "application/json",
    **headers: str,
) -> tuple[int, str]:
    """Send bytes as they are; return the status and what the answer says."""
    connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=SECONDS_MAX)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            method,
            path,
            body,
            {"Content-Type": content_type, "X-Auth-Token": broker.token, **given},
        )
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    answer = json.loads(text) if text.startswith("{") else {"faultstring": text}
    return response.status, str(answer.get("faultstring", answer))


def until(found: Callable[[], Any], seconds: float = SECONDS_MAX) -> Any:
    """Return what `found` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def ended(broker: BrokerProcess, execution_id: str) -> dict[str, Any]:
    """Return an execution once it has ended."""

    def found() -> Any:
        _, answer = broker.call("GET", f"/api/v1/executions/{execution_id}")
        return answer if answer.get("status") in FINAL else None

    return dict(until(found))


def run(broker: BrokerProcess, action: str, **parameters: Any) -> tuple[int, Any]:
    """Request an execution."""
    return broker.call("POST", "/api/v1/executions", {"action": action, "parameters": parameters})


def rule(name: Any = "r", **changes: Any) -> dict[str, Any]:
    """Return a rule's document."""
    return {
        "name": name,
        "pack": "default",
        "enabled": True,
        "trigger": {"type": "core.st2.webhook", "parameters": {"url": name}},
        "criteria": {},
        "action": {"ref": "core.local", "parameters": {"cmd": "true"}},
        **changes,
    }


def action(**changes: Any) -> dict[str, Any]:
    """Return an action's document."""
    return {
        "name": "a",
        "pack": "default",
        "runner_type": "local-shell-cmd",
        "entry_point": "",
        "enabled": True,
        **changes,
    }


# -- bodies -----------------------------------------------------------------------------------------

BODIES = {
    "cut off": (b'{"name": ', "truncated"),
    "no json": (b"name: r", "line 1, column"),
    "second line": (b'{"name": "r",\n "pack": nope}', "line 2"),
    "nan": (b'{"name": NaN}', "malformed"),
    "infinity": (b'{"name": Infinity}', "malformed"),
    "no utf-8": (b'{"name": "\xff"}', "not UTF-8"),
    "huge number": (b'{"name": 1e999}', "out of range"),
    "control character": (b'{"name": "\x00"}', "malformed"),
    "deep": (DEEP[: WEBHOOK_MAX // 2].encode(), "nested too deep"),
    "deep and whole": (b"[" * 500 + b"]" * 500, "nested too deep"),
    "lone surrogate": (b'{"name": "\\ud800"}', "parse"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/api/v1/rules", "/api/v1/executions", "/api/v1/webhooks/sample"])
def test_a_body_that_is_no_json_is_refused_with_its_place(
    broker: BrokerProcess, path: str, name: str
) -> None:
    """The answer is 400 and says what is wrong and where."""
    body, said = BODIES[name]
    status, text = send(broker, "POST", path, body)
    assert (HTTPStatus.BAD_REQUEST, True) == (status, said in text), text


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null", b"true"])
@pytest.mark.parametrize("path", ["/api/v1/rules", "/api/v1/executions", "/api/v1/actions"])
def test_a_body_of_another_kind_is_refused(broker: BrokerProcess, path: str, body: bytes) -> None:
    """JSON that is no object makes no document."""
    status, text = send(broker, "POST", path, body)
    assert (HTTPStatus.BAD_REQUEST, True) == (status, bool(text))


def test_an_unknown_content_type_is_refused(broker: BrokerProcess) -> None:
    """The allowed ones are named."""
    status, text = send(broker, "POST", "/api/v1/rules", b"<a/>", "application/xml")
    assert HTTPStatus.BAD_REQUEST == status
    assert "application/json" in text


@pytest.mark.parametrize(
    ("path", "limit", "maximum"),
    [
        ("/api/v1/executions", "max_body_bytes", BODY_MAX),
        ("/api/v1/webhooks/sample", "max_webhook_body_bytes", WEBHOOK_MAX),
    ],
)
def test_a_body_over_the_limit_is_413_and_names_it(
    broker: BrokerProcess, path: str, limit: str, maximum: int
) -> None:
    """One byte over is refused with the limit, its maximum and the size; the limit itself is read."""
    for size, expected in ((maximum + 1, 413), (maximum, 400)):
        status, text = send(broker, "POST", path, b" " * (size - 1) + b"x")
        assert expected == status
        if expected == 413:
            assert f"{limit} is limited to {maximum} bytes, got {size} bytes" in text


def test_a_payload_over_the_limit_is_refused(broker: BrokerProcess) -> None:
    """A webhook body that fits, and a payload that does not: named, and nothing is stored."""
    _, before = broker.call("GET", "/api/v1/triggerinstances?limit=-1")
    body = json.dumps({"x": "y" * PAYLOAD_MAX}).encode()
    status, text = send(broker, "POST", "/api/v1/webhooks/sample", body)
    assert HTTPStatus.BAD_REQUEST == status
    assert f"max_payload_bytes is limited to {PAYLOAD_MAX}, got" in text
    assert before == broker.call("GET", "/api/v1/triggerinstances?limit=-1")[1]


def test_what_nests_as_deep_as_allowed_can_be_read_back(broker: BrokerProcess) -> None:
    """The deepest accepted event is stored and listed; nothing accepted makes a listing fail."""
    assert HTTPStatus.CREATED == broker.call("POST", "/api/v1/rules", rule("deepest"))[0]
    for depth, expected in ((100, HTTPStatus.ACCEPTED), (101, HTTPStatus.BAD_REQUEST)):
        body = b"[" * depth + b"]" * depth
        assert expected == send(broker, "POST", "/api/v1/webhooks/deepest", body)[0]
    for path in ("triggerinstances", "executions", "traces", "ruleenforcements"):
        assert HTTPStatus.OK == broker.call("GET", f"/api/v1/{path}?limit=-1")[0]


# -- documents --------------------------------------------------------------------------------------

DOCUMENTS: dict[str, tuple[str, Any, str]] = {
    "unknown key of a rule": ("rules", rule(surprise=1), "surprise"),
    "name of a number": ("rules", rule(name=7), "7"),
    "trigger as text": ("rules", rule(trigger="core.st2.webhook"), "core.st2.webhook"),
    "unknown trigger type": ("rules", rule(trigger={"type": "no.where"}), "no.where"),
    "unknown trigger parameter": (
        "rules",
        rule(trigger={"type": "core.st2.webhook", "parameters": {"url": "x", "extra": 1}}),
        "extra",
    ),
    "missing trigger parameter": (
        "rules",
        rule(trigger={"type": "core.st2.webhook"}),
        "parameters",
    ),
    "criteria as list": ("rules", rule(criteria=[]), "[]"),
    "unknown operator": (
        "rules",
        rule(criteria={"trigger.body.x": {"type": "resembles", "pattern": 1}}),
        "resembles",
    ),
    "action as text": ("rules", rule(action="core.local"), "core.local"),
    "action without ref": ("rules", rule(action={}), "ref"),
    "enabled as text": ("rules", rule(enabled="perhaps"), "perhaps"),
    "unknown key of an action": ("actions", action(surprise=1), "surprise"),
    "unknown runner": ("actions", action(runner_type="no-such-runner"), "no-such-runner"),
    "parameter of no type": ("actions", action(parameters={"p": {"type": "blob"}}), "blob"),
    "parameters as list": ("actions", action(parameters=[1]), "[1]"),
    "entry point outside": ("actions", action(entry_point="../../x", data_files=1), "data_files"),
    "trigger type of no schema": (
        "triggertypes",
        {"name": "t", "pack": "default", "payload_schema": 7},
        "7",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_makes_no_sense_is_refused(broker: BrokerProcess, name: str) -> None:
    """The answer is 400 and names the key or value at fault; nothing is created."""
    kind, document, said = DOCUMENTS[name]
    before = broker.call("GET", f"/api/v1/{kind}?limit=-1")[1]
    status, answer = broker.call("POST", f"/api/v1/{kind}", document)
    assert (HTTPStatus.BAD_REQUEST, True) == (status, said in answer["faultstring"]), answer
    assert before == broker.call("GET", f"/api/v1/{kind}?limit=-1")[1]


def test_a_rule_may_name_an_action_that_is_not_there(broker: BrokerProcess) -> None:
    """The rule is created; its event is accepted, and the enforcement says why nothing ran."""
    document = rule("ahead", action={"ref": "not.yet", "parameters": {}})
    assert HTTPStatus.CREATED == broker.call("POST", "/api/v1/rules", document)[0]
    assert HTTPStatus.ACCEPTED == broker.call("POST", "/api/v1/webhooks/ahead", {"n": 1})[0]
    _, found = broker.call("GET", "/api/v1/ruleenforcements?rule_ref=default.ahead")
    assert ["failed"] == [e["status"] for e in found]
    assert "not.yet" in found[0]["failure_reason"]


REQUESTS: dict[str, tuple[Any, str]] = {
    "unknown action": ({"action": "no.where"}, "no.where"),
    "no action": ({"parameters": {}}, "action"),
    "action as number": ({"action": 7}, "action"),
    "unknown parameter": ({"action": "core.local", "parameters": {"kmd": "x"}}, "kmd"),
    "missing parameter": ({"action": "core.local"}, "cmd"),
    "parameters as list": ({"action": "core.local", "parameters": []}, "parameters"),
    "number as text": (
        {"action": "core.local", "parameters": {"cmd": "true", "timeout": "soon"}},
        "soon",
    ),
    "negative delay": (
        {"action": "core.local", "parameters": {"cmd": "true"}, "delay": -1},
        "/delay",
    ),
    "delay without end": (
        {"action": "core.local", "parameters": {"cmd": "true"}, "delay": 10**17},
        "/delay",
    ),
    "trace as text": (
        {
            "action": "core.local",
            "parameters": {"cmd": "true"},
            "context": {"trace_context": "text"},
        },
        "/context/trace_context",
    ),
    "template that runs wild": (
        {"action": "core.local", "parameters": {"cmd": "{{ 'x' * 10**9 }}"}},
        "cmd",
    ),
    "template without end": (
        {"action": "core.local", "parameters": {"cmd": "{% for a in range(10**9) %}x{% endfor %}"}},
        "cmd",
    ),
    "template that looks inside": (
        {"action": "core.local", "parameters": {"cmd": "{{ ''.__class__.__mro__ }}"}},
        "cmd",
    ),
    "deep YAML in a template": (
        {
            "action": "core.local",
            "parameters": {"cmd": "{{ env.x | from_yaml_string }}", "env": {"x": DEEP}},
        },
        "nesting of YAML",
    ),
    "deep JSON in a template": (
        {
            "action": "core.local",
            "parameters": {"cmd": "{{ env.x | from_json_string }}", "env": {"x": DEEP}},
        },
        "cmd",
    ),
    "deep JSON as text": (
        {"action": "core.local", "parameters": {"cmd": "true", "env": DEEP}},
        "env",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_cannot_run_is_refused(broker: BrokerProcess, name: str) -> None:
    """The answer is 400 and names what is wrong; no execution comes of it."""
    document, said = REQUESTS[name]
    before = broker.call("GET", "/api/v1/executions?limit=1")[1]
    status, answer = broker.call("POST", "/api/v1/executions", document)
    assert (HTTPStatus.BAD_REQUEST, True) == (status, said in answer["faultstring"]), answer
    assert before == broker.call("GET", "/api/v1/executions?limit=1")[1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/executions/" + "f" * 24, 404),
        ("/api/v1/executions/" + "x" * 300, 400),
        ("/api/v1/executions/%00", 404),
        ("/api/v1/executions/%ff", 404),
        ("/api/v1/executions?limit=many", 400),
        ("/api/v1/executions?limit=-2", 400),
        ("/api/v1/executions?offset=-1", 400),
        ("/api/v1/executions?timestamp_gt=yesterday", 400),
        ("/api/v1/rules/no.where", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/keys/" + "k" * 400, 400),
    ],
)
def test_paths_and_queries_are_checked(broker: BrokerProcess, path: str, status: int) -> None:
    """What is not there is 404 and what makes no sense 400; each with a text."""
    got, text = send(broker, "GET", path, b"")
    assert (status, True) == (got, bool(text)), text


# -- credentials ------------------------------------------------------------------------------------


def test_bad_credentials_are_refused_wherever_they_stand(broker: BrokerProcess) -> None:
    """Garbage, overlong and revoked tokens and keys are 401 in header, query and cookie."""
    revoked = broker.login()
    status, _ = broker.call("DELETE", f"/auth/v1/tokens/{revoked}")
    bad = ["garbage", "x" * 5000, "\xff\xfe", "' or 1=1", "0" * 64]
    bad += [revoked] if status < 300 else []
    for value in bad:
        for header in ("X-Auth-Token", "St2-Api-Key"):
            given = {"X-Auth-Token": "", header: value}
            status, answer = broker.call("GET", "/api/v1/rules", headers=given)
            assert HTTPStatus.UNAUTHORIZED == status
            assert "Unauthorized" in answer["faultstring"]
            assert value not in answer["faultstring"]


def test_an_expired_token_is_refused_as_such(broker: BrokerProcess) -> None:
    """After its time a token is 401, and the answer says that it has expired."""
    basic = {"Authorization": "Basic " + _basic(USER, PASSWORD)}
    status, made = broker.call("POST", "/auth/v1/tokens", {"ttl": 1}, headers=basic)
    assert HTTPStatus.CREATED == status

    def refused() -> Any:
        status, answer = broker.call(
            "GET", "/api/v1/rules", headers={"X-Auth-Token": made["token"]}
        )
        return answer if status == HTTPStatus.UNAUTHORIZED else None

    assert "expired" in until(refused)["faultstring"]


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


# -- packs ------------------------------------------------------------------------------------------


def test_the_good_of_a_bad_pack_is_there_and_the_bad_is_reported(broker: BrokerProcess) -> None:
    """The rest of the pack loads; each refusal names file and line, and what is wrong."""
    assert HTTPStatus.OK == broker.call("GET", "/api/v1/actions/mixed.good")[0]
    _, started = run(broker, "mixed.good")
    assert "good" == ended(broker, started["id"])["result"]["stdout"]

    status, answer = broker.call(
        "POST", "/api/v1/packs/register", {"packs": ["mixed"], "fail_on_failure": True}
    )
    assert HTTPStatus.BAD_REQUEST == status
    said = answer["faultstring"]
    for file, text in (
        ("actions/syntax.yaml:2", "expected"),
        ("actions/twice.yaml:2", "stands twice"),
        ("actions/deep.yaml:1", "nesting of a YAML document is limited to 100"),
        ("actions/bytes.yaml", ""),
        ("actions/unknown.yaml", "surprise"),
        ("actions/typed.yaml", "perhaps"),
        ("actions/laughs.yaml", "aliases written out"),
        ("actions/list.yaml", "mapping"),
        ("actions/empty.yaml", "mapping"),
        ("rules/broken.yaml", "core.st2.webhook"),
    ):
        (line,) = [line for line in said.splitlines() if file in line]
        assert text in line


def test_an_unknown_pack_is_refused(broker: BrokerProcess) -> None:
    """Registering what is not on disk names it."""
    status, answer = broker.call("POST", "/api/v1/packs/register", {"packs": ["nowhere"]})
    assert (HTTPStatus.BAD_REQUEST, True) == (status, "nowhere" in answer["faultstring"])


# -- plugins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("liar", "liar.more"),
        ("sleeper", "was not ready within 0.3 s"),
        ("missing", "/no/such/program"),
    ],
)
def test_a_plugin_that_does_not_work_ends_its_own_runs_with_the_reason(
    broker: BrokerProcess, name: str, said: str
) -> None:
    """Its runs end, and say why; the runs of other plugins go on meanwhile."""
    status, bad = run(broker, f"mixed.{name}")
    assert HTTPStatus.CREATED == status
    _, good = run(broker, "core.local", cmd="echo fine")
    assert "fine" == ended(broker, good["id"])["result"]["stdout"]
    over = ended(broker, bad["id"])
    assert over["status"] in ("failed", "abandoned")
    assert said in over["result"]["error"]


def test_wrong_manifests_are_refused_and_reported(broker: BrokerProcess) -> None:
    """Each refused plugin is in the status with file, line and reason; the others work."""
    _, status = broker.call("GET", "/api/v1/status")
    plugins = {plugin["name"]: plugin for plugin in status["plugins"]}
    for name, (_, said) in REFUSED_PLUGINS.items():
        assert "refused" == plugins[name]["state"]
        assert f"{name}/plugin.yaml:" in plugins[name]["message"]
        assert said in plugins[name]["message"]
    assert plugins["shell"]["state"] != "refused"


# -- the bus ----------------------------------------------------------------------------------------


def _event(**changes: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "test",
        "type": "core.st2.webhook",
        "triggerparameters": '{"url": "bus"}',
        "data": {"headers": {}, "headers_lower": {}, "body": {"n": 1}},
        **changes,
    }
    return json.dumps(event).encode()


BAD_MESSAGES = {
    "no json": (b"nonsense", "data: is not JSON"),
    "bytes": (b"\xff\xfe\x00", "is not JSON"),
    "empty": (b"", "is not JSON"),
    "list": (b"[]", "a CloudEvent is a JSON object"),
    "deep": (DEEP.encode(), "nested deeper than 100"),
    "version": (_event(specversion="0.1"), "specversion"),
    "unknown trigger": (_event(type="no.where"), "no.where"),
    "unknown parameters": (_event(triggerparameters='{"url": "elsewhere"}'), "elsewhere"),
    "broken parameters": (_event(triggerparameters="[" * 3000), "triggerparameters"),
    "large": (_event(data={"x": "y" * PAYLOAD_MAX}), "max_payload_bytes"),
}


def test_bad_messages_are_refused_and_the_others_go_on(broker: BrokerProcess) -> None:
    """Each bad message is announced on `whimbrel.refused` with the reason; good ones in between run."""
    assert HTTPStatus.CREATED == broker.call("POST", "/api/v1/rules", rule("bus"))[0]
    reasons = asyncio.run(_publish(broker))
    for name, (_, said) in BAD_MESSAGES.items():
        assert said in reasons[f"bad {name}"], (name, reasons[f"bad {name}"])

    def all_ran() -> Any:
        _, found = broker.call("GET", "/api/v1/executions?rule=default.bus&limit=-1")
        return len(found) == len(BAD_MESSAGES)

    until(all_ran)


async def _publish(broker: BrokerProcess) -> dict[str, str]:
    run_folder = broker.folder / "run"
    client = await nats.connect(
        (run_folder / "nats.url").read_text().strip(),
        nkeys_seed_str=(run_folder / "nats-publisher.nk").read_text().strip(),
    )
    reasons: dict[str, str] = {}

    async def refused(message: Any) -> None:
        data = json.loads(message.data)["data"]
        reasons[data["message_id"]] = data["reason"]

    await client.subscribe("whimbrel.refused", cb=refused)
    stream = client.jetstream()
    for number, (name, (data, _)) in enumerate(BAD_MESSAGES.items()):
        subject = "whimbrel.event.core.st2.webhook"
        await stream.publish(subject, data, headers={"Nats-Msg-Id": f"bad {name}"})
        good = _event(id=f"good {number}")
        await stream.publish(subject, good, headers={"Nats-Msg-Id": f"good {number}"})
    async with asyncio.timeout(SECONDS_MAX):
        while len(reasons) < len(BAD_MESSAGES):
            await asyncio.sleep(0.02)
    await client.close()
    return reasons


# -- a run that misbehaves --------------------------------------------------------------------------


def test_a_flood_of_output_harms_nobody(broker: BrokerProcess) -> None:
    """A command that prints a very great many lines ends, and the broker with it does not."""
    program = "import sys\nfor n in range(20000): sys.stdout.write('x\\n'); sys.stdout.flush()"
    _, started = run(broker, "core.local", cmd=f'{sys.executable} -c "{program}"')
    over = ended(broker, started["id"])
    assert "succeeded" == over["status"]
    assert 20000 == over["result"]["stdout"].count("x")


@pytest.mark.parametrize(
    "printed",
    ["1e999", "[" * 200 + "]" * 200, '{"a": NaN}', "\\377\\376", "\\ud800", '{"a": 1, "a": 2}'],
)
def test_what_a_command_prints_can_always_be_read_back(broker: BrokerProcess, printed: str) -> None:
    """Whatever looks like JSON and is none, or is too deep, ends the run with a result that can be read."""
    _, started = run(broker, "core.local", cmd=f"printf '{printed}'")
    over = ended(broker, started["id"])
    assert over["result"]
    assert HTTPStatus.OK == broker.call("GET", "/api/v1/executions?limit=5")[0]


# -- starting ---------------------------------------------------------------------------------------


def refused_start(broker: BrokerProcess) -> str:
    """Start a broker that cannot start; return what it says."""
    with pytest.raises(StartFailed) as caught:
        broker.start()
    text = str(caught.value)
    assert "exited 1" in text
    assert "Traceback" not in text
    return text


def test_a_second_broker_on_the_same_folder_is_refused(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """It exits with 1 and names the folder and the process that has it."""
    second = BrokerProcess(tmp_path, master_key_file=broker.options["master_key_file"])
    second.options["folder"] = broker.options["folder"]
    text = refused_start(second)
    assert f"{broker.options['folder']}" in text
    assert f"in use by process {broker.pid}" in text
    assert HTTPStatus.OK == broker.call("GET", "/api/v1/rules")[0]


@pytest.mark.parametrize("option", ["port", "grpc_port"])
def test_a_busy_port_is_refused(tmp_path: Path, option: str) -> None:
    """It exits with 1 and names the port and the flag that chooses another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = refused_start(BrokerProcess(tmp_path, **{option: port}))
    assert str(port) in text
    assert f"--{option.replace('_', '-')}" in text


def test_a_missing_or_wrong_master_key_is_refused(tmp_path: Path) -> None:
    """A broker whose key is gone, or another's, or no key, exits with 1 and names the file."""
    broker = BrokerProcess(tmp_path / "one")
    with broker:
        broker.call("PUT", "/api/v1/keys/k", {"name": "k", "value": "v"})
    with BrokerProcess(tmp_path / "other"):
        pass
    key = tmp_path / "one" / "master.key"
    kept = key.rename(key.with_suffix(".kept"))
    assert f"{key} is missing" in refused_start(broker)
    for content in ((tmp_path / "other" / "master.key").read_bytes(), b"nonsense", b""):
        key.touch(mode=0o600)
        key.write_bytes(content)
        assert str(key) in refused_start(broker)
    kept.rename(key)
    with broker:
        assert "v" == broker.call("GET", "/api/v1/keys/k")[1]["value"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot: 9110\n", ("whimbrel.yaml:1", "'prot'", "did you mean port")),
        ("port: soon\n", ("whimbrel.yaml:1", "port", "from 0 to 65535")),
        ("log_level: [\n", ("whimbrel.yaml:", "not YAML")),
        ("port: 1\nlog_level: info\nlog_level: debug\n", ("whimbrel.yaml:3", "given twice")),
        (f"log_level: {DEEP}\n", ("whimbrel.yaml:1", "nests deeper than 100")),
        ("- port\n", ("whimbrel.yaml", "mapping")),
        ("max_body_bytes: .nan\n", ("whimbrel.yaml:1", "max_body_bytes")),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    tmp_path: Path, text: str, said: tuple[str, ...]
) -> None:
    """The broker does not start, and names file, line, key and what is allowed."""
    broker = BrokerProcess(tmp_path)
    file = tmp_path / "whimbrel.yaml"
    file.write_text(text)
    done = broker.cli("up", "--config", str(file), check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr


def test_the_command_refuses_files_that_nest_too_deep(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """`rule create` of a hostile file ends with a message, in YAML and in JSON."""
    for ending in ("yaml", "json"):
        file = tmp_path / f"rule.{ending}"
        file.write_text(DEEP)
        done = broker.cli("rule", "create", str(file), check=False)
        assert (1, "") == (done.returncode, done.stdout) or done.returncode == 2
        assert f"rule.{ending}" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


# -- a full store -----------------------------------------------------------------------------------


def test_a_full_store_refuses_keeps_and_goes_on(tmp_path: Path) -> None:
    """When full the API says 503; what was acknowledged is there, running results wait, space heals."""
    gate = tmp_path / "gate"
    broker = BrokerProcess(tmp_path / "b", store_max_size_bytes=16 * MIB)
    with broker:
        _, waiting = run(
            broker, "core.local", cmd=f"until test -e {gate}; do sleep 0.05; done; echo kept"
        )
        assert HTTPStatus.CREATED == broker.call("POST", "/api/v1/rules", rule("full"))[0]
        kept = _fill(broker)
        status, answer = broker.call("POST", "/api/v1/webhooks/full", {"x": "y" * 30_000})
        assert status in (HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE), answer
        gate.touch()
        assert HTTPStatus.OK == broker.call("GET", "/api/v1/executions")[0]
        assert _values(broker) == kept
        for name in sorted(kept)[:8]:
            status, answer = broker.call("DELETE", f"/api/v1/keys/{name}")
            assert HTTPStatus.NO_CONTENT == status, answer
            del kept[name]
        assert "kept" == ended(broker, waiting["id"])["result"]["stdout"]
        _, started = run(broker, "core.local", cmd="echo again")
        assert "again" == ended(broker, started["id"])["result"]["stdout"]
        kept |= _fill(broker)
    broker.options["store_max_size_bytes"] = 64 * MIB
    with broker:
        assert _values(broker) == kept
        _, started = run(broker, "core.local", cmd="echo more")
        assert "more" == ended(broker, started["id"])["result"]["stdout"]
        assert "Traceback" not in broker.printed()


def _fill(broker: BrokerProcess) -> dict[str, int]:
    """Write keys, large and then small ones, until they are refused; return what was acknowledged."""
    kept: dict[str, int] = {}
    for size in (512 * KIB, 16 * KIB, 512):
        for number in range(2000):
            name = f"k{size}-{number}"
            body = {"name": name, "value": "v" * size}
            status, answer = broker.call("PUT", f"/api/v1/keys/{name}", body)
            if status != HTTPStatus.OK:
                assert HTTPStatus.SERVICE_UNAVAILABLE == status, answer
                assert "the store is at its maximum size" in answer["faultstring"]
                break
            kept[name] = size
    return kept


def _values(broker: BrokerProcess) -> dict[str, int]:
    _, found = broker.call("GET", "/api/v1/keys?limit=-1")
    return {item["name"]: len(item["value"]) for item in found}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A data folder that cannot be made is refused with its path."""
    (tmp_path / "file").write_text("")
    broker = BrokerProcess(tmp_path / "b")
    broker.options["folder"] = tmp_path / "file" / "data"
    assert str(tmp_path / "file") in refused_start(broker)
