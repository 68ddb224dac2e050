"""The data folder: private, and one writer's at a time."""

import os
import stat
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import StoreLocked
from whimbrel.store.folder import DataFolder


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    """A folder that is made, or was empty, ends up with mode 0700."""
    (tmp_path / "empty").mkdir(mode=0o755)

    for path in (tmp_path / "new" / "data", tmp_path / "empty"):
        folder = DataFolder(path)
        folder.acquire()
        folder.release()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_with_content_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    """Whimbrel closes no folder of which it does not know that it is its own."""
    (tmp_path / "something").touch()
    tmp_path.chmod(0o755)

    with pytest.raises(errors.InvalidInput, match=r"open to others \(mode 0755\); run: chmod 0700"):
        DataFolder(tmp_path).acquire()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_locked_folder_names_its_owner(tmp_path: Path) -> None:
    """The second one to come is refused with folder and process id; after release it may come in."""
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.acquire()

    with pytest.raises(StoreLocked, match=f"{tmp_path}/data is in use by process {os.getpid()};"):
        second.acquire()

    first.release()
    first.release()
    second.acquire()
    second.release()
