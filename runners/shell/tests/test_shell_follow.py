"""Commands on the loop: output, limits, time, cancellation, what stays behind. Real processes."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shell_command import Account, Command, local_command
from shell_follow import Limits, ShellCommands
from shell_result import Ending, Stop
from shell_spawn import MAX_STDIN_BYTES, Spawner
from shell_tree import living_processes

ENVIRONMENT = {"PATH": os.environ["PATH"]}
HURRIED = Limits(cancel_grace_seconds=0.2, timeout_grace_seconds=0.2)


class Screen:
    """Keeps what is shown, and cancels when it shows `cancel_on`."""

    def __init__(self, cancel_on: bytes | None = None) -> None:
        self.shown = {"stdout": b"", "stderr": b""}
        self.cancelled = asyncio.Event()
        self.drains = 0
        self._cancel_on = cancel_on

    def write(self, channel: str, data: bytes) -> None:
        """Show."""
        self.shown[channel] += data
        if self._cancel_on is not None and self._cancel_on in self.shown[channel]:
            self.cancelled.set()

    async def drain(self) -> None:
        """Count, and let others run."""
        self.drains += 1
        await asyncio.sleep(0)


async def follow(
    text: str | Command, screen: Screen | None = None, *, limits: Limits = HURRIED, **more: Any
) -> Ending:
    """Run a command with the usual circumstances."""
    command = local_command(text, Account(service_user="me")) if isinstance(text, str) else text
    screen = screen or Screen()
    spawner = Spawner()
    options = {"cwd": None, "timeout_seconds": 20.0, **more}
    try:
        return await ShellCommands(spawner, limits).run(
            command, ENVIRONMENT, cancelled=screen.cancelled, sink=screen, **options
        )
    finally:
        spawner.close()


def run(text: str | Command, **more: Any) -> Ending:
    """Run a command on a loop of its own."""
    return asyncio.run(follow(text, **more))


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def alive(pid: int) -> bool:
    """Return whether the process has not ended."""
    return any(process.pid == pid for process in living_processes())


def test_both_streams_and_the_return_code_come_back() -> None:
    """A command's three answers."""
    ending = run("echo out; echo err >&2; exit 3")

    assert (ending.return_code, ending.stdout, ending.stderr) == (3, b"out\n", b"err\n")


def test_a_command_reads_an_empty_input() -> None:
    """Nobody types here."""
    assert run("wc -c").stdout == b"0\n"


def test_input_is_given_and_then_ends() -> None:
    """What sudo reads is there; what comes after reads the end."""
    command = Command(text="read word; echo got $word; wc -c", logged="", stdin=b"s3cret\n")

    assert run(command).stdout == b"got s3cret\n0\n"


def test_input_is_limited_before_anything_starts() -> None:
    """The message names the limit and the value."""
    command = Command(text="true", logged="", stdin=b"x" * (MAX_STDIN_BYTES + 1))

    with pytest.raises(ValueError, match="limited to 4096 bytes, got 4097"):
        run(command)


def test_the_working_directory_is_the_childs_alone(tmp_path: Path) -> None:
    """The command runs there; this process stays where it was."""
    before = Path.cwd()

    ending = run("pwd", cwd=str(tmp_path))

    assert f"{tmp_path}\n".encode() == ending.stdout
    assert before == Path.cwd()


def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    """Nothing is started, nothing stays open."""
    before = open_descriptors()

    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        run("true", cwd=str(tmp_path / "no-such-folder"))

    assert before == open_descriptors()


@pytest.mark.parametrize("command", ["a\0b", "x" * 300_000])
def test_what_the_kernel_refuses_is_an_error_and_leaks_nothing(command: str) -> None:
    """A NUL, or a text over the kernel's limit for one argument."""
    before = open_descriptors()

    with pytest.raises((ValueError, OSError)):
        run(command)

    assert before == open_descriptors()


def test_the_child_has_default_signals() -> None:
    """Python ignores SIGPIPE; were that inherited, `yes` would write for ever."""
    assert run("yes | head -n 1").stdout == b"y\n"


def test_the_child_leads_a_group_of_its_own() -> None:
    """So that all of it can be signalled at once."""
    pid, group = run("cut -d ' ' -f 1,5 /proc/$$/stat").stdout.split()

    assert pid == group


def test_output_beyond_the_limit_is_cut_and_the_command_goes_on() -> None:
    """The first bytes are kept, the rest is shown and counted as cut."""
    screen = Screen()

    ending = run(
        "head -c 300000 /dev/zero; echo end >&2",
        screen=screen,
        limits=Limits(output_bytes=1000, ahead_bytes=100_000),
    )

    assert (len(ending.stdout), ending.truncated, ending.stderr) == (1000, True, b"end\n")
    assert len(screen.shown["stdout"]) == 300_000
    assert screen.drains >= 1


def test_output_is_shown_while_the_command_runs(tmp_path: Path) -> None:
    """The command waits for a sign that is only given once its first words were seen."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    class Opener(Screen):
        def write(self, channel: str, data: bytes) -> None:
            super().write(channel, data)
            if b"ready" in data:
                os.close(os.open(gate, os.O_WRONLY))

    ending = run(f"echo ready; read line < {gate}; echo done", screen=Opener())

    assert ending.stdout == b"ready\ndone\n"


def test_a_timeout_ends_the_command_and_keeps_what_it_said() -> None:
    """SIGTERM is enough for most."""
    ending = run("echo partial; sleep 30", timeout_seconds=0.2)

    assert (ending.stopped, ending.stdout) == (Stop.TIMEOUT, b"partial\n")


def test_a_command_that_ignores_sigterm_is_killed() -> None:
    """After the grace time, and no later."""
    started = time.monotonic()

    ending = run("trap '' TERM; echo on; sleep 30; sleep 30", timeout_seconds=0.1)

    assert (ending.stopped, ending.return_code) == (Stop.TIMEOUT, -signal.SIGKILL)
    assert time.monotonic() - started < 5


def test_a_command_may_tidy_up_when_canceled() -> None:
    """SIGTERM comes first, and what it prints then is kept."""
    screen = Screen(cancel_on=b"ready")

    ending = run(
        "trap 'echo tidied; exit 7' TERM; echo ready; while :; do sleep 0.01; done",
        screen=screen,
        limits=Limits(cancel_grace_seconds=5),
    )

    assert (
        ending.stopped,
        ending.return_code,
        ending.stdout,
    ) == (Stop.CANCEL, 7, b"ready\ntidied\n")


@pytest.mark.parametrize(
    "text",
    [
        "sleep 30 & echo $!; wait",
        "setsid sleep 30 & echo $!; wait",
        "(setsid sh -c 'echo $$; exec sleep 30' &); sleep 30",
        "(trap '' TERM; sh -c 'echo $$; sleep 30; sleep 30') & wait",
    ],
    ids=["background", "own session", "own session, parent gone", "deaf to SIGTERM"],
)
def test_nothing_that_it_started_survives_a_cancellation(text: str) -> None:
    """Also what left the group, and what left its parent."""
    marker = "ST2_ACTION_EXECUTION_ID=stop-test"
    command = local_command(f"export {marker}; {text}", Account(service_user="me"))

    ending = run(command, screen=Screen(cancel_on=b"\n"), marker=marker.encode())

    assert ending.stopped is Stop.CANCEL
    assert not alive(int(ending.stdout))


def test_a_background_process_does_not_hold_the_run() -> None:
    """What holds the pipes after the command has ended gets a moment, and lives on."""
    started = time.monotonic()

    ending = run("sleep 30 & echo $!")

    assert (ending.return_code, ending.stopped) == (0, None)
    assert time.monotonic() - started < 5
    os.kill(int(ending.stdout), signal.SIGKILL)


def test_late_words_of_a_background_process_are_kept() -> None:
    """Within the moment, its output belongs to the run."""
    ending = run("(sleep 0.05; echo late) & echo early", limits=Limits(linger_seconds=5))

    assert ending.stdout == b"early\nlate\n"


def test_a_full_pipe_at_the_end_is_read_to_its_end() -> None:
    """Everything that was written before the end is there, whoever holds the pipe."""
    ending = run(
        "sleep 30 & head -c 65536 /dev/zero; kill -0 $!; echo $! >&2",
        limits=Limits(linger_seconds=0.05),
    )

    assert len(ending.stdout) == 65536
    os.kill(int(ending.stderr), signal.SIGKILL)


def test_a_signal_from_outside_is_seen_in_the_return_code() -> None:
    """Negative, as Python counts."""
    assert run("kill -TERM $$").return_code == -signal.SIGTERM


def test_an_abandoned_run_leaves_neither_processes_nor_descriptors() -> None:
    """When the coroutine itself is cancelled there is no time to be kind."""

    async def scenario() -> tuple[int, int, int]:
        before = open_descriptors()
        screen = Screen()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(follow("trap '' TERM; echo $$; sleep 30; sleep 30", screen))
            while not screen.shown["stdout"]:
                await asyncio.sleep(0.001)
            task.cancel()
        pid = int(screen.shown["stdout"])
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.001)
        return before, open_descriptors(), pid

    before, after, _ = asyncio.run(scenario())

    assert before == after


def test_many_at_once_are_kept_apart() -> None:
    """Every run gets its own output and code, and all descriptors come back."""

    async def scenario() -> tuple[list[Ending], int, int]:
        spawner, screen = Spawner(), Screen()
        commands = ShellCommands(spawner, HURRIED)
        before = open_descriptors()

        async def one(number: int) -> Ending:
            return await commands.run(
                Command(text=f"echo {number}; exit {number % 5}", logged=""),
                ENVIRONMENT,
                cwd=None,
                timeout_seconds=20,
                cancelled=screen.cancelled,
                sink=screen,
            )

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(100)]
        after = open_descriptors()
        spawner.close()
        return [task.result() for task in tasks], before, after

    endings, before, after = asyncio.run(scenario())

    assert [(n % 5, f"{n}\n".encode()) for n in range(100)] == [
        (ending.return_code, ending.stdout) for ending in endings
    ]
    assert before == after


@pytest.mark.parametrize("left", range(5))
def test_running_out_of_descriptors_is_an_error_and_no_leak(left: int) -> None:
    """A command needs five; with fewer the run fails with the kernel's word, at whatever step."""
    before = open_descriptors()

    async def scenario() -> Ending:
        with few_descriptors(left), pytest.raises(OSError, match="Too many open files"):
            await commands.run(command, ENVIRONMENT, **options)
        return await commands.run(command, ENVIRONMENT, **options)

    spawner, screen = Spawner(), Screen()
    commands = ShellCommands(spawner, HURRIED)
    command = Command(text="echo ok", logged="")
    options: dict[str, Any] = {"cwd": None, "timeout_seconds": 20.0}
    options |= {"cancelled": screen.cancelled, "sink": screen}

    assert asyncio.run(scenario()).stdout == b"ok\n"
    spawner.close()
    assert before == open_descriptors()


@contextmanager
def few_descriptors(left: int) -> Iterator[None]:
    """Leave this process `left` descriptors to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.dup(fillers[0]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, fillers[-1]) + 1 + left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
