"""The main job on real processes, step by step: what `make demo` runs.

Starts a broker in a scratch folder, drives it with the `whimbrel` command, a webhook and a NATS
publisher, checks what came out of each step, and ends with what to try next. The first thing that
goes wrong ends it with the reason and exit code 1.
"""

import asyncio
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
from whimbrel.testing import free_port

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).parent / "whimbrel"
SECONDS_MAX = 20.0
STEPS = 9


class DemoFailed(Exception):
    """A step did not do what it says; the text is the reason."""


class Demo:
    """A scratch broker and the steps."""

    def __init__(self, scratch: Path) -> None:
        self.home = scratch / "home"
        self.home.mkdir()
        self.folder = scratch / "data"
        self.sample = scratch / "st2.webhook_sample.out"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.step = 0
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("WHIMBREL_", "ST2_", "XDG_"))
        }
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "WHIMBREL_URL": self.url,
            "NO_COLOR": "1",
        }
        self.broker: subprocess.Popen[bytes] | None = None

    # -- telling ------------------------------------------------------------------------------------

    def say(self, what: str) -> None:
        """Announce the next step."""
        self.step += 1
        print(f"\n[{self.step}/{STEPS}] {what}", flush=True)

    def whimbrel(self, *words: str) -> str:
        """Run the command, show it and what it printed; return that."""
        print(f"    $ whimbrel {shlex.join(words)}", flush=True)
        done = subprocess.run(
            [PROGRAM, *words], env=self.environment, capture_output=True, text=True, check=False
        )
        self._show(done.stdout)
        if done.returncode:
            self._show(done.stderr)
            raise DemoFailed(f"`whimbrel {shlex.join(words)}` ended with {done.returncode}")
        return done.stdout

    def ask(self, *words: str) -> Any:
        """Run the command for its JSON, unseen."""
        done = subprocess.run(
            [PROGRAM, *words, "-j"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoFailed(f"`whimbrel {shlex.join(words)} -j`: {done.stderr or done.stdout}")
        return json.loads(done.stdout) if done.stdout.strip().startswith(("[", "{")) else []

    def _show(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            print(f"      {line}")
        sys.stdout.flush()

    @staticmethod
    def check(holds: bool, otherwise: str) -> None:
        """End the demo with the reason unless it holds."""
        if not holds:
            raise DemoFailed(otherwise)

    @staticmethod
    def wait(found: Callable[[], Any], what: str) -> Any:
        """Return what `found` gives once it gives something."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (value := found()):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} did not come within {SECONDS_MAX:.0f} s")
            time.sleep(0.05)
        return value

    # -- steps --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the broker."""
        self.say("Start the broker with its embedded NATS and LMDB")
        port = self.url.rpartition(":")[2]
        ports = ["--port", port, "--grpc-port", "0"]
        command = [str(PROGRAM), "up", "--folder", str(self.folder), *ports]
        print(f"    $ whimbrel {shlex.join(command[1:])} &", flush=True)
        begun = time.monotonic()
        log = (self.home / "broker.log").open("wb")
        self.broker = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.wait(self._is_ready, "the broker's readiness")
        self._show((self.home / "broker.log").read_text())
        self._show(f"ready after {time.monotonic() - begun:.2f} s")

    def _is_ready(self) -> bool:
        assert self.broker is not None
        if self.broker.poll() is not None:
            raise DemoFailed(f"the broker ended:\n{(self.home / 'broker.log').read_text()}")
        try:
            return (
                self._request("GET", "/health")[0] == http.client.OK
                and "ready" in (self.home / "broker.log").read_text()
            )
        except OSError:
            return False

    def _request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=SECONDS_MAX)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def look(self) -> None:
        """Show who we are and what there is."""
        self.say("Logged in by the first start; look around")
        self.whimbrel("whoami")
        listed = self.whimbrel("action", "list", "--pack=core")
        self.check("core.local" in listed, "core.local is not listed")

    def run(self) -> None:
        """Run a command through the shell runner plugin."""
        self.say("Run a shell command as an action")
        self.whimbrel("run", "core.local", "--", "date", "-R")

    def datastore(self) -> None:
        """Set and read keys, and use one in a parameter."""
        self.say("Keep a value in the datastore and use it in a parameter")
        self.whimbrel("key", "set", "user", "stanley")
        self.whimbrel("key", "get", "user")
        said = self.whimbrel("run", "core.local", "cmd=echo Hello {{st2kv.system.user}}")
        self.check("Hello stanley" in said, "the key was not put into the command")

    def rule(self) -> None:
        """Create the webhook rule."""
        self.say(
            "Create a rule: webhook `sample` whose body.name is st2 → append the body to a file"
        )
        rule = {
            "name": "sample_rule_with_webhook",
            "pack": "default",
            "description": "Sample rule dumping webhook payload to a file.",
            "enabled": True,
            "trigger": {"type": "core.st2.webhook", "parameters": {"url": "sample"}},
            "criteria": {"trigger.body.name": {"pattern": "st2", "type": "equals"}},
            "action": {
                "ref": "core.local",
                "parameters": {"cmd": f'echo "{{{{trigger.body}}}}" >> {self.sample}'},
            },
        }
        file = self.home / "sample_rule_with_webhook.json"
        file.write_text(json.dumps(rule, indent=2))
        self.whimbrel("rule", "create", str(file))

    def webhook(self) -> None:
        """Post to the webhook, and follow what came of it."""
        self.say("Post to the webhook")
        key = self.ask("apikey", "create")["key"]
        body = {"foo": "bar", "bill": "baz", "name": "st2"}
        print(
            f"    $ curl -H 'St2-Api-Key: ***' {self.url}/api/v1/webhooks/sample -d {json.dumps(body)!r}"
        )
        status, text = self._request(
            "POST", "/api/v1/webhooks/sample", body, **{"St2-Api-Key": key}
        )
        self._show(f"{status} {text}")
        self.check(status == http.client.ACCEPTED, f"the webhook answered {status}: {text}")
        self._follow(1)

    def _follow(self, lines: int) -> None:
        """Show instance, enforcement, execution and file of the newest event."""
        self.wait(lambda: len(self._lines()) >= lines, "the line in the file")
        execution = self.wait(
            lambda: [
                e
                for e in self.ask("execution", "list", "-n", "1", "--action", "core.local")
                if e["status"] == "succeeded"
            ],
            "the execution's end",
        )[0]
        self.whimbrel("trigger-instance", "list", "-n", "1")
        self.whimbrel("rule-enforcement", "list", "-n", "1")
        self.whimbrel("execution", "get", execution["id"])
        print(f"    $ tail -n 1 {self.sample}")
        self._show(self._lines()[-1])

    def _lines(self) -> list[str]:
        return self.sample.read_text().splitlines() if self.sample.exists() else []

    def publish(self) -> None:
        """Publish the same event over NATS."""
        self.say(
            "Publish the same event over NATS, as a CloudEvent; the answer comes once it is durable"
        )
        event = {
            "specversion": "1.0",
            "id": "demo-1",
            "source": "demo",
            "type": "core.st2.webhook",
            "triggerparameters": '{"url": "sample"}',
            "data": {"headers": {}, "headers_lower": {}, "body": {"name": "st2", "via": "nats"}},
        }
        subject = "whimbrel.event.core.st2.webhook"
        print(f"    $ nats pub {subject} {json.dumps(event)!r}")
        acknowledged = asyncio.run(self._publish(subject, event))
        self._show(f"acknowledged: stream {acknowledged.stream}, sequence {acknowledged.seq}")
        self._follow(2)
        again = asyncio.run(self._publish(subject, event))
        self._show(f"published once more under its id: duplicate {again.duplicate}")

    async def _publish(self, subject: str, event: dict[str, Any]) -> Any:
        run_folder = self.folder / "run"
        client = await nats.connect(
            (run_folder / "nats.url").read_text().strip(),
            nkeys_seed_str=(run_folder / "nats-publisher.nk").read_text().strip(),
        )
        try:
            return await client.jetstream().publish(
                subject, json.dumps(event).encode(), headers={"Nats-Msg-Id": event["id"]}
            )
        finally:
            await client.close()

    def status(self) -> None:
        """Show the broker's own view."""
        self.say("What the broker says of itself")
        self.whimbrel("status")

    def stop(self) -> None:
        """Stop in order."""
        self.say("Stop")
        assert self.broker is not None
        self.broker.send_signal(signal.SIGTERM)
        code = self.broker.wait(SECONDS_MAX)
        self.check(code == 0, f"the broker ended with {code}")
        self._show("stopped cleanly; every event, execution and key is in the data folder")

    def play(self) -> None:
        """Do every step."""
        for step in (
            self.start,
            self.look,
            self.run,
            self.datastore,
            self.rule,
            self.webhook,
            self.publish,
            self.status,
            self.stop,
        ):
            step()

    def abort(self) -> None:
        """Leave nothing running."""
        if self.broker is not None and self.broker.poll() is None:
            self.broker.kill()
            self.broker.wait()


NEXT = """
It works. To try next:
    make up                                  start a broker of your own (Ctrl-C ends it), then in another shell:
    . .venv/bin/activate
    whimbrel run core.local -- uname -a      run something
    whimbrel run core.local -h               what an action takes
    whimbrel rule list                       what reacts to what
    whimbrel execution list                  what ran
    whimbrel --help                          everything else
    docs/architecture.md                     how it works; sdk/python/README.md: write a runner of your own
"""


def main() -> int:
    """Play the demo; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="whimbrel-demo-") as scratch:
        demo = Demo(Path(scratch))
        try:
            demo.play()
        except DemoFailed as failure:
            print(f"\nThe demo failed: {failure}", file=sys.stderr)
            return 1
        finally:
            demo.abort()
    print(NEXT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
