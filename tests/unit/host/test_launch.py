"""What a launch sets up, and what it refuses before any process."""

from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.app.world import RandomIds
from whimbrel.host.launch import SOCKET_PATH_BYTES, LaunchFolder, runtime_root
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
