"""Checks of this machine."""

import os
import socket
from pathlib import Path

import pytest
from whimbrel.cli import doctor

from tests.unit.cli import served


def test_a_folder_that_is_missing_will_be_made(tmp_path: Path) -> None:
    """What can be made is no problem."""
    assert doctor.folder("data folder", tmp_path / "a" / "b").level == doctor.OK


def test_a_folder_that_others_can_look_into_is_a_warning(tmp_path: Path) -> None:
    """The fix is the command that closes it."""
    tmp_path.chmod(0o755)

    found = doctor.folder("data folder", tmp_path)

    assert (doctor.WARN, f"chmod 700 {tmp_path}") == (found.level, found.fix)


def test_a_file_in_place_of_the_folder_is_a_failure(tmp_path: Path) -> None:
    """A broker could not start."""
    (tmp_path / "f").touch()

    assert doctor.folder("data folder", tmp_path / "f").level == doctor.FAIL


@pytest.mark.parametrize(("mode", "level"), [(0o600, doctor.OK), (0o644, doctor.FAIL)])
def test_the_master_key_must_be_the_owners_alone(mode: int, level: str, tmp_path: Path) -> None:
    """Others must not be able to read it."""
    key = tmp_path / "master.key"
    key.touch()
    key.chmod(mode)

    assert level == doctor.master_key(key, tmp_path / "data").level


def test_a_master_key_beside_the_data_is_a_warning(tmp_path: Path) -> None:
    """A copy of the folder would hold both."""
    assert doctor.master_key(tmp_path / "master.key", tmp_path).level == doctor.WARN


def test_a_store_without_its_key_is_a_warning(tmp_path: Path) -> None:
    """Secrets cannot be read without the key that is gone."""
    (tmp_path / "store").mkdir()

    assert "backup" in doctor.master_key(Path("/nonexistent/master.key"), tmp_path).fix


def test_a_port_that_is_held_is_a_warning() -> None:
    """It may be a broker that runs; the fix names the flag."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        number = holder.getsockname()[1]
        held = doctor.port("grpc_port", "127.0.0.1", number)
    free = doctor.port("grpc_port", "127.0.0.1", number)

    assert (held.level, free.level) == (doctor.WARN, doctor.OK)
    assert "--grpc-port" in held.fix


def test_doctor_prints_every_finding_with_its_fix(tmp_path: Path) -> None:
    """A failure exits with 1 and says what to do; JSON has the same findings."""
    (tmp_path / "data").touch()
    environment = {**os.environ, "HOME": str(tmp_path), "WHIMBREL_FOLDER": str(tmp_path / "data")}

    outcome = served.run("doctor", environment=environment)
    documents = served.run("doctor", "-j", environment=environment).json()

    assert outcome.code == 1
    assert f"FAIL  data folder: {tmp_path / 'data'} is no folder\n      fix: move" in outcome.output
    assert "OK    python: Python 3." in outcome.output
    assert {"data folder", "nats-server", "disk space", "port"} <= {d["check"] for d in documents}


def test_settings_that_are_wrong_are_told_before_any_check(tmp_path: Path) -> None:
    """The source and the value are named."""
    outcome = served.run("doctor", environment={"HOME": str(tmp_path), "WHIMBREL_PORT": "x"})

    assert outcome.code == 1
    assert "WHIMBREL_PORT: must be a whole number from 0 to 65535, got 'x'" in outcome.errors
