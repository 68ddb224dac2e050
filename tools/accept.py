"""Runs an acceptance script with the real st2client against a fresh broker: `make accept`.

    python tools/accept.py --script FILE [--groups a,b] [--skip-cases id,id] [--known FILE]

Starts a broker in a scratch folder with StackStorm's three extra listeners on free ports, installs
st2client into an environment of its own (.accept/venv, kept), runs the script and prints its lines.
Exit status 0: nothing failed but the cases that FILE lists (`id reason` a line). A script that is not
there is no failure: it says so and ends.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import msgspec
from whimbrel.broker.users import Users
from whimbrel.testing import BrokerProcess, free_port

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".accept" / "venv"
CLIENT = "st2client==3.9.0"
USER = "st2admin"
PASSWORD = "Ch@ngeMe"
LINE = re.compile(r"(PASS|FAIL) (\S+) ")
SUMMARY = re.compile(r"\d+ passed, \d+ failed")
FAILURES_SHOWN_BYTES = 4000


class Tally(msgspec.Struct):
    """What the script's lines said."""

    known: dict[str, str]
    skipped: frozenset[str]
    passed: list[str] = []
    failed: list[str] = []
    expected: list[str] = []
    is_complete: bool = False

    def take(self, line: str) -> str:
        """Count a line of the script; return what to print of it, empty for nothing."""
        if SUMMARY.fullmatch(line):
            self.is_complete = True
            return ""
        found = LINE.match(line)
        if found is None:
            return line
        outcome, case = found.groups()
        if case in self.skipped:
            return ""
        if outcome == "PASS":
            self.passed.append(case)
        elif case in self.known:
            self.expected.append(case)
            return f"KNOWN {line.removeprefix('FAIL ')} [{self.known[case]}]"
        else:
            self.failed.append(case)
        return line

    def summary(self) -> Iterator[str]:
        """Return the last lines."""
        for case in self.passed:
            if case in self.known:
                yield f"{case} passes: take it off the list of known failures"
        if not self.is_complete:
            yield "the script did not run to its end"
        yield (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.expected)} known to fail"
        )

    def exit_status(self) -> int:
        """Return 0 when everything that was run did as expected."""
        return 0 if self.is_complete and not self.failed else 1


def known_failures(file: Path | None) -> dict[str, str]:
    """Return the reasons of the listed cases."""
    if file is None or not file.exists():
        return {}
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return {
        case: reason.strip() for case, _, reason in (line.partition(" ") for line in lines if line)
    }


def client_python() -> Path:
    """Return the interpreter that has st2client; makes its environment the first time."""
    python = ENVIRONMENT / "bin" / "python"
    made = ENVIRONMENT / "made"
    if not made.exists() or made.read_text() != CLIENT:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        install = (
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            CLIENT,
            "setuptools<81",
        )
        subprocess.run([python, *install], check=True)
        made.write_text(CLIENT)
    return python


def run_script(script: Path, groups: str, broker: BrokerProcess, tally: Tally) -> None:
    """Run the script against the broker and print its lines as they come."""
    ports = {name: broker.options[f"{name}_port"] for name in ("auth", "api", "stream")}
    command = [
        *(client_python(), "-u", script),
        *("--api", f"http://127.0.0.1:{ports['api']}/v1"),
        *("--auth", f"http://127.0.0.1:{ports['auth']}"),
        *("--stream", f"http://127.0.0.1:{ports['stream']}/v1"),
        *("--user", USER, "--password", PASSWORD),
        *(("--groups", groups) if groups else ()),
    ]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=broker.environment(),
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if shown := tally.take(line.rstrip("\n")):
                print(shown, flush=True)


def accept(script: Path, groups: str, tally: Tally) -> int:
    """Run the script against a fresh broker; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="whimbrel-accept-") as scratch:
        folder = Path(scratch)
        ports = {f"{name}_port": free_port() for name in ("auth", "api", "stream")}
        broker = BrokerProcess(folder, **ports)
        Users(Path(str(broker.options["users_file"]))).put(USER, PASSWORD)
        broker.start()
        try:
            run_script(script, groups, broker, tally)
        finally:
            broker.stop()
            if tally.failed or not tally.is_complete:
                print(broker.printed()[-FAILURES_SHOWN_BYTES:], file=sys.stderr)
    for line in tally.summary():
        print(line)
    return tally.exit_status()


def main() -> int:
    """Read the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Accept a fresh broker with the real st2client.")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--groups", default="", help="comma list; all of the script by default")
    parser.add_argument("--skip-cases", default="", help="comma list of ids to leave out")
    parser.add_argument("--known", type=Path, default=ROOT / "tests" / "known_accept_failures.txt")
    options = parser.parse_args()
    script: Path = options.script
    if not script.is_file():
        print(f"no acceptance script at {script}: passed over")
        return 0
    skipped = frozenset(case for case in options.skip_cases.split(",") if case)
    tally = Tally(known=known_failures(options.known), skipped=skipped)
    return accept(script.resolve(), options.groups, tally)


if __name__ == "__main__":
    sys.exit(main())
