"""The endpoints, as StackStorm's clients use them."""

import base64
import gzip
import json
from pathlib import Path

import bcrypt
import msgspec
import pytest
from whimbrel.broker.identity import api_key_hash
from whimbrel.model import MASK, Event, OutputRecord, Status

from tests.unit.gateway.calls import Door, play
from tests.unit.gateway.fakes import NOW, object_id

API = "/api/v1"


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# -- tokens -----------------------------------------------------------------------------------------


def test_a_login_over_http(tmp_path: Path) -> None:
    """A password gives a token, which can be asked about; everything else is 401."""
    hashed = bcrypt.hashpw(b"p:w", bcrypt.gensalt(4)).decode()

    async def case(door: Door) -> None:
        door.broker.identity.users.file = tmp_path / "users"
        (tmp_path / "users").write_text(f"ada:{hashed}\n")
        door.token = ""

        answer = await door.call(
            "POST", "/auth/v1/tokens", {"ttl": 60}, headers=basic("ada", "p:w") | {"Host": "h:1"}
        )

        assert answer.status == 201
        assert answer.headers["x-api-url"] == "http://h:1/api"
        token = answer.document
        assert set(token) == {"id", "user", "token", "expiry", "metadata"}
        assert (token["user"], token["expiry"]) == ("ada", "2026-01-31T09:31:00.000000Z")
        valid = await door.call("POST", "/auth/v1/tokens/validate", {"token": token["token"]})
        assert valid.document == {"valid": True}
        wrong = await door.call("POST", "/auth/v1/tokens/validate", {"token": "x"})
        assert wrong.document == {"valid": False}
        late = await door.call(
            "POST", "/auth/v1/tokens", {"ttl": 9999}, headers=basic("ada", "p:w")
        )
        assert (late.status, late.fault) == (
            400,
            "TTL specified 9999 is greater than max allowed 3600.",
        )
        other = await door.call(
            "POST", "/auth/v1/tokens", {"user": "bob"}, headers=basic("ada", "p:w")
        )
        assert other.status == 400

    play(case)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"ada").decode(),
        "Basic 6Q==",
    ],
)
def test_a_login_without_a_proper_header(header: str) -> None:
    """Whatever is wrong with it, the answer is the same."""

    async def case(door: Door) -> None:
        answer = await door.call("POST", "/auth/v1/tokens", headers={"Authorization": header})
        assert (answer.status, answer.fault) == (401, "Invalid or missing credentials")

    play(case)


# -- content ----------------------------------------------------------------------------------------


def test_lists_of_actions() -> None:
    """All of them by default, with totals; filters, pages and attributes as asked."""

    async def case(door: Door) -> None:
        whole = await door.call("GET", f"{API}/actions")
        assert [one["ref"] for one in whole.document] == ["core.local", "core.noop"]
        assert whole.headers["x-total-count"] == "2"
        assert "x-limit" not in whole.headers
        assert "description" not in whole.document[0]
        page = await door.call(
            "GET", f"{API}/actions/?limit=1&offset=1&include_attributes=name,parameters.cmd"
        )
        assert page.document == [
            {"id": object_id(2), "ref": "core.noop", "name": "noop", "parameters": {}}
        ]
        assert (page.headers["x-total-count"], page.headers["x-limit"]) == ("2", "1")
        for query, refs in (
            ("pack=none", []),
            ("name=noop", ["core.noop"]),
            ("tags=quiet", ["core.noop"]),
            ("tags=null", ["core.local"]),
            (f"id={object_id(1)},zz", ["core.local"]),
            ("sort=-name", ["core.noop", "core.local"]),
            ("sort=%2Bname,nonsense&limit=-1", ["core.local", "core.noop"]),
        ):
            found = (await door.call("GET", f"{API}/actions?{query}")).document
            assert (query, [one["ref"] for one in found]) == (query, refs)

    play(case)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-2",
        "limit=x",
        "offset=-1",
        "offset=2147483648",
        "include_attributes=id&exclude_attributes=notify",
        "include_attributes=bogus",
        "exclude_attributes=name",
        "id=" + ",".join("x" * 101),
    ],
)
def test_lists_refuse_what_makes_no_sense(query: str) -> None:
    """With 400 and a text."""

    async def case(door: Door) -> None:
        answer = await door.call("GET", f"{API}/actions?{query}")
        assert answer.status == 400
        assert answer.fault

    play(case)


def test_an_actions_life() -> None:
    """Create, read, replace, copy, delete; views beside it."""

    async def case(door: Door) -> None:
        made = await door.call("POST", f"{API}/actions", {"name": "new", "runner_type": "noop"})
        assert (made.status, made.document["ref"]) == (201, "core.new")
        changed = await door.call(
            "PUT", f"{API}/actions/{made.document['id']}", {"name": "new", "description": "d"}
        )
        assert (changed.status, changed.document["description"]) == (200, "d")
        clone = {"dest_pack": "default", "dest_action": "copy"}
        copied = await door.call("POST", f"{API}/actions/core.new/clone", clone)
        assert (copied.status, copied.document["name"]) == (201, "copy")
        gone = await door.call("DELETE", f"{API}/actions/core.new", {"remove_files": True})
        assert (gone.status, gone.data) == (204, b"")
        assert (await door.call("GET", f"{API}/actions/core.new")).status == 404
        assert (await door.call("DELETE", f"{API}/actions/core.new")).status == 404

    play(case)


def test_views_of_actions() -> None:
    """The runner's parameters beside the action's own, and the source."""

    async def case(door: Door) -> None:
        views = f"{API}/actions/views"
        parameters = (await door.call("GET", f"{views}/parameters/core.local")).document
        assert set(parameters["parameters"]) == {"cmd", "timeout", "password"}
        assert parameters["parameters"]["cmd"] == {"type": "string", "required": True}
        overview = (await door.call("GET", f"{views}/overview?include_attributes=ref")).document
        assert overview[0] == {"id": object_id(1), "ref": "core.local"}
        one = (await door.call("GET", f"{views}/overview/core.local")).document
        assert "timeout" in one["parameters"]
        source = await door.call("GET", f"{views}/entry_point/core.local")
        assert (source.data, source.headers["content-type"]) == (
            b"source of core.local",
            "text/plain",
        )

    play(case)


def test_a_rules_life_with_secrets() -> None:
    """A secret parameter is masked, shown when asked for, and not lost when it comes back masked."""
    rule = {
        "name": "r",
        "trigger": {"type": "core.st2.webhook"},
        "action": {"ref": "core.local", "parameters": {"cmd": "x", "password": "open"}},
    }

    async def case(door: Door) -> None:
        made = await door.call("POST", f"{API}/rules", rule)
        assert (made.status, made.document["context"]) == (201, {"user": "ada"})
        assert made.document["action"]["parameters"] == {"cmd": "x", "password": MASK}
        open_rule = await door.call("GET", f"{API}/rules/default.r?show_secrets=true")
        assert open_rule.document["action"]["parameters"]["password"] == "open"
        back = {**made.document, "enabled": True}
        del back["ref"]
        changed = await door.call("PUT", f"{API}/rules/{made.document['id']}", back)
        assert (changed.document["enabled"], changed.document["id"]) == (True, made.document["id"])
        kept = await door.call("GET", f"{API}/rules/default.r?show_secrets=1")
        assert kept.document["action"]["parameters"]["password"] == "open"
        assert kept.document["context"] == {"user": "ada"}
        for query, count in (("enabled=True", 1), ("enabled=False", 0), ("action=core.local", 1)):
            assert len((await door.call("GET", f"{API}/rules?{query}")).document) == count
        view = (await door.call("GET", f"{API}/rules/views/default.r")).document
        assert view["action"]["description"] == ""
        assert len((await door.call("GET", f"{API}/rules/views")).document) == 1
        assert (await door.call("DELETE", f"{API}/rules/default.r")).status == 204

    play(case)


def test_a_rule_of_an_unknown_action_is_shown() -> None:
    """A rule may come before its action."""
    rule = {
        "name": "r",
        "trigger": {"type": "x"},
        "action": {"ref": "no.such", "parameters": {"a": 1}},
    }

    async def case(door: Door) -> None:
        made = await door.call("POST", f"{API}/rules", rule)
        assert made.document["action"]["parameters"] == {"a": 1}

    play(case)


def test_packs_runners_and_types() -> None:
    """What stands in lists is found by name and by id."""

    async def case(door: Door) -> None:
        assert (await door.call("GET", f"{API}/packs/core")).document["name"] == "core"
        runners = (await door.call("GET", f"{API}/runnertypes/?name=local-shell-cmd")).document
        assert [one["name"] for one in runners] == ["local-shell-cmd"]
        assert (await door.call("GET", f"{API}/runnertypes/local-shell-cmd")).status == 200
        kinds = (await door.call("GET", f"{API}/ruletypes")).document
        assert [one["name"] for one in kinds] == ["standard", "backstop"]
        assert (await door.call("GET", f"{API}/ruletypes/{kinds[0]['id']}")).document == kinds[0]
        assert (await door.call("GET", f"{API}/ruletypes/none")).status == 404
        assert (await door.call("GET", f"{API}/sensortypes")).document == []
        assert (await door.call("GET", f"{API}/triggertypes/core.x")).document[
            "description"
        ] == "X."
        assert (await door.call("GET", f"{API}/triggers?type=none")).document == []

    play(case)


def test_packs_are_registered_and_not_installed() -> None:
    """What this version does not do says so with 501, and what does it instead."""

    async def case(door: Door) -> None:
        body = {"packs": ["core"], "types": ["actions"], "fail_on_failure": False}
        answer = await door.call("POST", f"{API}/packs/register", body)
        assert (answer.status, answer.document) == (200, {"actions": 2})
        await door.call("POST", f"{API}/packs/register", {})
        assert door.broker.content.registered == [
            (["core"], ["actions"], False),
            (None, None, True),
        ]
        for path in ("install", "uninstall", "index/search"):
            refused = await door.call("POST", f"{API}/packs/{path}", {})
            assert refused.status == 501
            assert "/packs/register" in refused.fault

    play(case)


# -- executions -------------------------------------------------------------------------------------


def test_running_an_action() -> None:
    """Unknown fields are ignored, the header's context is merged in."""

    async def case(door: Door) -> None:
        body = {
            "action": "core.local",
            "parameters": {"cmd": "date"},
            "user": None,
            "context": {"trace_context": {"trace_tag": "t"}},
            "delay": 100,
            "unknown": 1,
        }
        headers = {"st2-context": json.dumps({"parent": {"execution_id": "p"}})}

        answer = await door.call("POST", f"{API}/executions", body, headers=headers)

        assert (answer.status, answer.document["status"]) == (201, "requested")
        (request,) = door.broker.executions.requests
        assert (request.action, request.parameters, request.user, request.delay) == (
            "core.local",
            {"cmd": "date"},
            None,
            100,
        )
        assert request.context == {
            "trace_context": {"trace_tag": "t"},
            "parent": {"execution_id": "p"},
        }
        assert answer.document["web_url"].endswith(f"/#/history/{answer.document['id']}/general")

    play(case)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {}),
        ({"action": 5}, {}),
        ({"action": "core.local", "parameters": []}, {}),
        ({"action": "core.local", "delay": -1}, {}),
        ({"action": "core.local"}, {"st2-context": "{"}),
        ({"action": "core.local"}, {"st2-context": "[]"}),
    ],
)
def test_a_request_that_makes_no_sense(body: object, headers: dict[str, str]) -> None:
    """400, and nothing is started."""

    async def case(door: Door) -> None:
        answer = await door.call("POST", f"{API}/executions", body, headers=headers)
        assert answer.status == 400
        assert door.broker.executions.requests == []

    play(case)


def test_lists_of_executions() -> None:
    """Filters, order and spans of time are handed on; attributes are chosen here."""

    async def case(door: Door) -> None:
        for number in (1, 2, 3):
            door.broker.executions.add(number)
        answer = await door.call(
            "GET",
            f"{API}/executions/?limit=2&parent=null&sort_desc=True&status=failed&unknown=1"
            "&include_attributes=id,action.ref,context.user",
        )
        assert [one["id"] for one in answer.document] == [object_id(3), object_id(2)]
        assert set(answer.document[0]) == {"id", "action", "context"}
        assert (answer.headers["x-total-count"], answer.headers["x-limit"]) == ("3", "2")
        asked = door.broker.executions.asked
        assert (asked["parent"], asked["status"], asked["ascending"]) == ("null", "failed", False)
        for query, ascending, after, before in (
            ("sort_asc=True", True, None, None),
            ("sort=%2Bstart_timestamp", True, None, None),
            ("timestamp_gt=2026-01-31T09:30:00Z", True, NOW, None),
            ("timestamp_gt=2026-01-31T09:30:00Z&sort_desc=1", False, NOW, None),
            ("timestamp_lt=2026-01-31T09:30:00Z", False, None, NOW),
        ):
            await door.call("GET", f"{API}/executions?{query}")
            asked = door.broker.executions.asked
            assert (query, asked["ascending"], asked["timestamp_gt"], asked["timestamp_lt"]) == (
                query,
                ascending,
                after,
                before,
            )

    play(case)


def test_a_span_of_time_is_closed_and_says_the_order() -> None:
    """`a..b` has both ends in it; the other way round it is newest first."""

    async def case(door: Door) -> None:
        early, late = "2026-01-31T09:30:00.000000Z", "2026-01-31T09:30:01.000000Z"
        for text, ascending, last in (
            (f"{early}..{late}", True, late),
            (f"{late}..{early}", False, late),
            (early, False, early),
        ):
            await door.call("GET", f"{API}/executions?timestamp={text}")
            asked = door.broker.executions.asked
            assert asked["ascending"] is ascending
            assert asked["timestamp_gt"] == "2026-01-31T09:29:59.999999Z"
            assert asked["timestamp_lt"] == last[:-2] + "1Z"

    play(case)


def test_one_execution() -> None:
    """By id or as the last one; parts of it alone."""

    async def case(door: Door) -> None:
        first = door.broker.executions.add(1)
        door.broker.executions.add(2, context={"user": "bob"})
        base = f"{API}/executions/{first.id}"

        assert (await door.call("GET", f"{API}/executions/last")).document["id"] == object_id(2)
        assert (await door.call("GET", f"{API}/executions/nope")).status == 404
        assert (
            "result" not in (await door.call("GET", f"{base}?exclude_attributes=result")).document
        )
        assert (await door.call("GET", f"{base}?exclude_attributes=action")).status == 400
        assert "result" not in (await door.call("GET", f"{base}?max_result_size=14")).document
        assert "result" in (await door.call("GET", f"{base}?max_result_size=15")).document
        assert (await door.call("GET", f"{base}?max_result_size=0")).status == 400
        assert (await door.call("GET", f"{base}/attribute/status")).document == "succeeded"
        assert (await door.call("GET", f"{base}/attribute/context")).status == 400
        shown = (await door.call("GET", f"{base}?show_secrets=true")).document
        assert shown["parameters"] == {"password": "open"}
        assert (await door.call("GET", f"{base}/result")).document == {"stdout": "hi"}
        packed = await door.call("GET", f"{base}/result?compress=true&download=true")
        assert gzip.decompress(packed.data) == b'{"stdout":"hi"}'
        assert packed.headers["content-disposition"].endswith("_result.json.gz")
        pretty = await door.call("GET", f"{base}/result?pretty_format=true")
        assert pretty.data == b'{\n    "stdout": "hi"\n}'
        children = await door.call("GET", f"{base}/children/?depth=-1&include_attributes=id")
        assert children.document == [{"id": object_id(2)}]
        assert (await door.call("GET", f"{base}/children?depth=-2")).status == 400
        assert (await door.call("GET", f"{base}/children?result_fmt=odd")).status == 400
        values = (
            await door.call("GET", f"{API}/executions/views/filters?types=user,rule")
        ).document
        assert values == {"user": ["ada", "bob"], "rule": [None]}

    play(case)


def test_output_as_text() -> None:
    """All of it, or one channel."""

    async def case(door: Door) -> None:
        execution = door.broker.executions.add(1)
        for number, (channel, data) in enumerate((("stdout", "a\n"), ("stderr", "b\n"))):
            door.broker.executions.printed.append(
                OutputRecord(
                    id=object_id(number),
                    execution_id=execution.id,
                    action_ref="core.local",
                    runner_ref="local-shell-cmd",
                    timestamp=NOW,
                    output_type=channel,
                    data=data,
                )
            )
        base = f"{API}/executions/{execution.id}/output"
        whole = await door.call("GET", base)
        assert (whole.data, whole.headers["content-type"]) == (
            b"a\nb\n",
            "text/plain; charset=utf-8",
        )
        assert (await door.call("GET", f"{base}?output_type=stderr")).data == b"b\n"

    play(case)


def test_canceling() -> None:
    """What runs is canceled; what is over is answered 200 with the reason."""

    async def case(door: Door) -> None:
        running = door.broker.executions.add(1, Status.RUNNING)
        done = door.broker.executions.add(2)
        answer = await door.call("DELETE", f"{API}/executions/{running.id}")
        assert (answer.status, answer.document["status"]) == (200, "canceling")
        answer = await door.call("DELETE", f"{API}/executions/{done.id}")
        assert (answer.status, answer.fault) == (
            200,
            "Action cannot be canceled. State = succeeded.",
        )
        assert (await door.call("DELETE", f"{API}/executions/none")).status == 404
        paused = await door.call("PUT", f"{API}/executions/{running.id}", {"status": "pausing"})
        assert paused.document["status"] == "pausing"

    play(case)


def test_running_again() -> None:
    """Parameters are handed on; tasks exclude them, and `reset` is a part of `tasks`."""

    async def case(door: Door) -> None:
        former = door.broker.executions.add(1)
        base = f"{API}/executions/{former.id}/re_run"
        body = {"parameters": {"a": 1}, "tasks": [], "reset": [], "delay": 0}
        assert (await door.call("POST", base, body)).status == 201
        asked = door.broker.executions.asked
        assert (asked["parameters"], asked["delay"]) == ({"a": 1}, None)
        for wrong in ({"parameters": {"a": 1}, "tasks": ["t"]}, {"tasks": ["t"], "reset": ["u"]}):
            assert (await door.call("POST", base, wrong)).status == 400
        assert (await door.call("POST", f"{API}/executions/none/re_run", {})).status == 404

    play(case)


# -- events -----------------------------------------------------------------------------------------


def test_webhooks_take_objects_arrays_and_forms() -> None:
    """Answered 202 with the body; headers come in their usual spelling."""

    async def case(door: Door) -> None:
        headers = {"X-GitHub-Event": "push", "St2-Trace-Tag": "tag", "Idempotency-Key": "e1"}
        answer = await door.call("POST", f"{API}/webhooks/in/box", {"a": 1}, headers=headers)
        assert (answer.status, answer.document) == (202, {"a": 1})
        (hook,) = door.broker.events.hooks
        assert (hook["url"], hook["body"], hook["tag"], hook["id"]) == (
            "in/box",
            {"a": 1},
            "tag",
            "e1",
        )
        assert hook["headers"]["X-Github-Event"] == "push"
        assert (await door.call("POST", f"{API}/webhooks/in/box/", [1])).document == [1]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await door.call("POST", f"{API}/webhooks/in/box", b"n=7", headers=form)
        assert answer.document == {"n": ["7"]}
        assert (await door.call("POST", f"{API}/webhooks/in/box", 5)).status == 400
        assert (await door.call("POST", f"{API}/webhooks/none", {})).status == 404

    play(case)


def test_the_generic_webhook_dispatches_any_trigger() -> None:
    """An unknown trigger is the caller's mistake."""

    async def case(door: Door) -> None:
        body = {"trigger": "core.hook", "payload": {"a": 1}}
        answer = await door.call("POST", f"{API}/webhooks/st2", body)
        assert (answer.status, answer.document) == (202, body)
        assert door.broker.events.ingested == [
            Event(trigger="core.hook", payload={"a": 1}, source="webhook")
        ]
        wrongs: tuple[object, ...] = ({"trigger": "no.such", "payload": {}}, {"payload": {}}, [])
        for wrong in wrongs:
            assert (await door.call("POST", f"{API}/webhooks/st2", wrong)).status == 400

    play(case)


def test_webhooks_are_listed() -> None:
    """By their triggers; `include_attributes` is not for them."""

    async def case(door: Door) -> None:
        (hook,) = (await door.call("GET", f"{API}/webhooks?include_attributes=url,type")).document
        assert hook["parameters"] == {"url": "in/box"}
        assert (await door.call("GET", f"{API}/webhooks/in/box")).document == hook
        assert (await door.call("GET", f"{API}/webhooks/none")).status == 404

    play(case)


def test_what_became_of_events() -> None:
    """Trigger instances, enforcements and traces with their filters and views."""

    async def case(door: Door) -> None:
        events = door.broker.events
        instances = await door.call(
            "GET", f"{API}/triggerinstances/?status=processed&include_attributes=id,status"
        )
        assert instances.document == [{"id": events.held.id, "status": "processed"}]
        assert events.asked["status"] == "processed"
        one = await door.call("GET", f"{API}/triggerinstances/{events.held.id}")
        assert one.document["payload"] == {"a": 1}
        again = await door.call("POST", f"{API}/triggerinstances/{events.held.id}/re_emit", b"null")
        assert again.status == 200
        assert events.held.id in again.document["message"]
        found = await door.call(
            "GET", f"{API}/ruleenforcements/?rule_ref=default.r&enforced_at_gt={NOW}"
        )
        assert found.document[0]["rule"] == {"ref": "default.r"}
        assert (events.asked["rule_ref"], events.asked["enforced_at_gt"]) == ("default.r", NOW)
        view = (await door.call("GET", f"{API}/ruleenforcements/views/x")).document
        assert (view["trigger_instance"]["id"], view["execution"]) == (events.held.id, {})
        assert (await door.call("GET", f"{API}/ruleenforcements/views")).document == [view]
        traces = await door.call("GET", f"{API}/traces/?trace_tag=tag&sort_desc=True")
        assert traces.document[0]["trace_tag"] == "tag"
        assert (await door.call("GET", f"{API}/traces/x")).document["uid"] == "trace:x"

    play(case)


# -- keys -------------------------------------------------------------------------------------------


def test_keys_over_http() -> None:
    """Set, get, list and delete, in the caller's scopes."""

    async def case(door: Door) -> None:
        body = {"name": "a b", "value": "1", "scope": "system", "user": None}
        made = await door.call("PUT", f"{API}/keys/a%20b", body)
        assert (made.status, made.document["scope"]) == (200, "st2kv.system")
        assert "expire_timestamp" not in made.document
        await door.call("PUT", f"{API}/keys/u", {"value": "2", "scope": "user", "ttl": 60})
        got = (await door.call("GET", f"{API}/keys/u?scope=user&decrypt=false")).document
        assert (got["value"], got["user"], got["secret"], got["encrypted"]) == (
            "2",
            "ada",
            False,
            False,
        )
        assert got["expire_timestamp"] == "2026-01-31T09:31:00.000000Z"
        both = await door.call("GET", f"{API}/keys/?scope=all&limit=50&decrypt=false")
        assert [one["name"] for one in both.document] == ["a b", "u"]
        assert "x-total-count" not in both.headers
        assert (await door.call("GET", f"{API}/keys?prefix=zz")).document == []
        assert (await door.call("DELETE", f"{API}/keys/u?scope=user")).status == 204
        gone = await door.call("GET", f"{API}/keys/u?scope=user")
        assert (gone.status, gone.fault) == (
            404,
            'The key "u" does not exist in the StackStorm datastore.',
        )

    play(case)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "a", {"value": 5}),
        ("PUT", "a", {}),
        ("PUT", "a", {"value": "v", "scope": "bogus"}),
        ("PUT", "a", {"value": "v", "secret": True}),
        ("PUT", "a", {"value": "v", "name": "b"}),
        ("GET", "a?scope=bogus", None),
        ("GET", "?scope=bogus", None),
        ("GET", "?limit=0", None),
    ],
)
def test_keys_that_make_no_sense(method: str, path: str, body: object) -> None:
    """400."""

    async def case(door: Door) -> None:
        assert (await door.call(method, f"{API}/keys/{path}", body)).status == 400

    play(case)


def test_api_keys_over_http() -> None:
    """Shown once, masked afterwards; disabled keys are refused; exported ones can be loaded."""

    async def case(door: Door) -> None:
        made = await door.call("POST", f"{API}/apikeys", {"metadata": {"a": 1}})
        assert made.status == 201
        key = made.document
        assert (key["user"], key["uid"], key["enabled"]) == ("ada", MASK, True)
        assert "key_hash" not in key
        got = (await door.call("GET", f"{API}/apikeys/{key['id']}")).document
        assert (got["key_hash"], "key" in got) == (MASK, False)
        disabled = await door.call("PUT", f"{API}/apikeys/{key['id']}", {**got, "enabled": False})
        assert disabled.document == {**got, "enabled": False}
        token, door.token = door.token, ""
        refused = await door.call("GET", f"{API}/user", headers={"St2-Api-Key": key["key"]})
        assert refused.fault == "Unauthorized - API key is disabled."
        door.token = token
        listed = await door.call("GET", f"{API}/apikeys?show_secrets=True&user=ada")
        assert listed.document[0]["key_hash"] == api_key_hash(key["key"])
        assert listed.headers["x-limit"] == "50"
        loaded = {"id": object_id(9), "user": "bob", "key_hash": api_key_hash("old")}
        assert (await door.call("PUT", f"{API}/apikeys/{object_id(9)}", loaded)).status == 404
        assert (await door.call("POST", f"{API}/apikeys", loaded)).document["id"] == object_id(9)
        again = await door.call("POST", f"{API}/apikeys", {**loaded, "id": None})
        assert (again.status, again.document["conflict-id"]) == (409, object_id(9))
        assert (await door.call("DELETE", f"{API}/apikeys/{key['id']}")).status == 204
        assert (await door.call("GET", f"{API}/apikeys/{key['id']}")).status == 404

    play(case)


def test_the_server_says_what_it_is() -> None:
    """To strangers the version alone."""

    async def case(door: Door) -> None:
        assert (await door.call("GET", f"{API}/")).document["version"] == "0.0.1"
        assert (await door.call("GET", "/health")).document == {"status": "ok"}
        assert (await door.call("GET", f"{API}/status")).document == {"version": "0.0.1"}

    play(case)


def test_models_keep_what_clients_need() -> None:
    """A result that is not wanted is never decoded: a broken one does no harm then."""

    async def case(door: Door) -> None:
        broken = door.broker.executions.add(1, result=msgspec.Raw(b"broken"))
        answer = await door.call("GET", f"{API}/executions/{broken.id}?exclude_attributes=result")
        assert answer.status == 200

    play(case)
