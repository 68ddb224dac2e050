"""What a launch sets up, and what it refuses before any process."""

import os
import socket
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.app.world import RandomIds
from whimbrel.host.launch import (
    SOCKET_NAME,
    SOCKET_PATH_BYTES,
    STALE_SECONDS,
    LaunchFolder,
    remove_stale_folders,
    runtime_root,
)
from whimbrel.host.port import PluginFailed


def test_the_launch_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    """Only the owner can enter it, and nothing of it stays."""
    with LaunchFolder(tmp_path, RandomIds()) as folder:
        inside = folder.socket.parent
        folder.socket.touch()
        assert 0o700 == inside.stat().st_mode & 0o777

    assert not inside.exists()


def test_two_launches_do_not_meet(tmp_path: Path) -> None:
    """Each launch has a folder of its own."""
    with LaunchFolder(tmp_path, RandomIds()) as one, LaunchFolder(tmp_path, RandomIds()) as other:
        assert one.socket != other.socket


def test_what_a_killed_host_left_is_removed(tmp_path: Path) -> None:
    """Old folders go, unless somebody listens there; young ones may still be starting."""
    dead, served, young = (tmp_path / name for name in ("dead", "served", "young"))
    for folder in (dead, served, young):
        folder.mkdir()
        os.utime(folder, (1000, 1000 if folder is not young else 1000 + STALE_SECONDS))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(served / SOCKET_NAME))
        listener.listen()
        os.utime(served, (1000, 1000))
        remove_stale_folders(tmp_path, 1001 + STALE_SECONDS)

    assert [False, True, True] == [folder.exists() for folder in (dead, served, young)]


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    """The error says how long it may be and is."""
    with pytest.raises(errors.LimitExceeded, match=f"limited to {SOCKET_PATH_BYTES} bytes"):
        LaunchFolder(tmp_path / ("x" * SOCKET_PATH_BYTES), RandomIds())


def test_the_runtime_folder_is_used_when_there_is_one(tmp_path: Path) -> None:
    """$XDG_RUNTIME_DIR comes before /tmp."""
    root = runtime_root({"XDG_RUNTIME_DIR": str(tmp_path)})

    assert tmp_path / "whim" == root
    assert 0o700 == root.stat().st_mode & 0o777


def test_without_a_runtime_folder_the_path_is_short() -> None:
    """A long $TMPDIR does not make the socket's path too long."""
    root = runtime_root({"TMPDIR": "/a/very/long/path" * 9})

    assert str(root).startswith("/tmp/whim-")


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """Sockets are protected by their folder alone, so it has to be private."""
    (tmp_path / "whim").mkdir()
    (tmp_path / "whim").chmod(0o755)

    with pytest.raises(PluginFailed, match="must be a folder that only user"):
        runtime_root({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    """Nobody can lead the host elsewhere."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "whim").symlink_to(target)

    with pytest.raises(PluginFailed):
        runtime_root({"XDG_RUNTIME_DIR": str(tmp_path)})
