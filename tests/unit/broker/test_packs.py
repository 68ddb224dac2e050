"""Packs on disk."""

import os
from pathlib import Path

import pytest
from whimbrel.broker import packs
from whimbrel.errors import InvalidInput

METADATA = "name: {ref}\ndescription: d\nversion: '1.2'\nauthor: a\n"


def make_pack(root: Path, name: str, files: dict[str, str] | None = None, **metadata: str) -> Path:
    """Write a pack into a folder."""
    folder = root / name
    text = METADATA.format(ref=name) + "".join(f"{k}: {v}\n" for k, v in metadata.items())
    for file, content in {"pack.yaml": text, **(files or {})}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    return folder


def test_search_prefers_the_operators_folder_except_for_core(tmp_path: Path) -> None:
    """An operator's pack replaces a bundled one; the system pack is always the bundled one."""
    system, first, second = tmp_path / "system", tmp_path / "first", tmp_path / "second"
    for root, name in ((system, "core"), (system, "x"), (first, "core"), (second, "x")):
        make_pack(root, name)
    (first / "no_pack").mkdir()
    found = packs.search(system, [first, second, tmp_path / "missing"])
    assert found == {"core": system / "core", "x": second / "x"}


def test_pack_goes_by_its_ref(tmp_path: Path) -> None:
    """A folder of another name is found by the ref that its metadata gives."""
    folder = make_pack(tmp_path, "stackstorm-thing", ref="thing")
    assert packs.search(tmp_path / "none", [tmp_path]) == {"thing": folder}


def test_pack_is_loaded_with_its_good_content(tmp_path: Path) -> None:
    """Documents are checked, belong to the pack and know their file; the version is completed."""
    folder = make_pack(
        tmp_path,
        "x",
        {
            "actions/a.yaml": "name: a\nrunner_type: noop\n",
            "actions/b.yml": "name: b\nrunner_type: noop\npack: x\n",
            "actions/workflows/w.yaml": "not: an action\n",
            "triggers/t.yaml": "name: t\n",
            "rules/r.yaml": "name: r\ntrigger: {type: x.t}\naction: {ref: x.a}\n",
            ".git/config": "hidden",
        },
    )
    loaded = packs.load(folder)
    assert (loaded.ref, loaded.metadata["version"], loaded.refusals) == ("x", "1.2.0", ())
    assert [(f.kind, f.file) for f in loaded.found] == [
        ("trigger_type", "triggers/t.yaml"),
        ("action", "actions/a.yaml"),
        ("action", "actions/b.yml"),
        ("rule", "rules/r.yaml"),
    ]
    assert {f.document["pack"] for f in loaded.found} == {"x"}
    assert ".git/config" not in loaded.metadata["files"]


def test_bad_files_are_refused_and_the_rest_loads(tmp_path: Path) -> None:
    """Each refusal says file and line, or file and pointer."""
    folder = make_pack(
        tmp_path,
        "x",
        {
            "actions/dup.yaml": "name: a\nname: b\n",
            "actions/good.yaml": "name: good\nrunner_type: noop\n",
            "actions/list.yaml": "- a\n",
            "actions/other.yaml": "name: a\nrunner_type: noop\npack: y\n",
            "actions/type.yaml": "name: a\nrunner_type: noop\nparameters: {p: {type: str}}\n",
        },
    )
    loaded = packs.load(folder)
    assert [found.document["name"] for found in loaded.found] == ["good"]
    refused = [str(refusal) for refusal in loaded.refusals]
    assert refused[0] == "x/actions/dup.yaml:2:1: the key 'name' stands twice"
    assert refused[1].startswith("x/actions/list.yaml: expected a mapping")
    assert refused[2].startswith('x/actions/other.yaml: Model is in pack "x"')
    assert refused[3].startswith("x/actions/type.yaml#/parameters/p/type: 'str' is not one of")


@pytest.mark.parametrize("metadata", ["- a\n", "name: x\n", "name: x\nname: y\n", ""])
def test_pack_without_usable_metadata_is_refused(tmp_path: Path, metadata: str) -> None:
    """A pack that does not say what it is does not load, and the refusal names the file."""
    folder = make_pack(tmp_path, "x")
    (folder / "pack.yaml").write_text(metadata)
    with pytest.raises(InvalidInput, match=r"^x/pack\.yaml"):
        packs.load(folder)


def test_fingerprint_changes_with_content_files_alone(tmp_path: Path) -> None:
    """A changed, new or removed content file changes the fingerprint; a script does not."""
    folder = make_pack(tmp_path, "x", {"actions/a.yaml": "name: a\n"})
    first = packs.fingerprint(folder, salt="1")
    (folder / "actions/a.sh").write_text("echo")
    assert packs.fingerprint(folder, salt="1") == first
    assert packs.fingerprint(folder, salt="2") != first
    os.utime(folder / "actions/a.yaml", ns=(1, 1))
    assert packs.fingerprint(folder, salt="1") != first
    (folder / "actions/a.yaml").unlink()
    assert packs.fingerprint(folder, salt="1") != first


@pytest.mark.parametrize("path", ["../x.sh", "/etc/passwd", "a/../../x", "", ".", "a\0b"])
def test_files_stay_inside_the_actions_folder(tmp_path: Path, path: str) -> None:
    """A path that leads out is refused before anything is written."""
    folder = make_pack(tmp_path, "x")
    with pytest.raises(InvalidInput, match="Invalid file path"):
        packs.write_data_files(
            folder, [{"file_path": "good.sh", "content": ""}, {"file_path": path, "content": ""}]
        )
    assert not (folder / "actions").exists()


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link inside of the pack does not open the way out."""
    folder = make_pack(tmp_path, "x", {"actions/a.yaml": ""})
    (folder / "actions" / "out").symlink_to(tmp_path)
    with pytest.raises(InvalidInput):
        packs.write_data_files(folder, [{"file_path": "out/x.sh", "content": ""}])


def test_data_files_may_stand_in_folders(tmp_path: Path) -> None:
    """Folders on the way are made."""
    folder = make_pack(tmp_path, "x")
    entry = {"file_path": "lib/deep/a.sh", "content": "echo é"}
    assert packs.write_data_files(folder, [entry]) == [folder / "actions/lib/deep/a.sh"]
    assert (folder / "actions/lib/deep/a.sh").read_text(encoding="utf-8") == "echo é"


def test_copy_keeps_what_is_there(tmp_path: Path) -> None:
    """The first copy is made whole; a second one leaves an operator's changes alone."""
    source = make_pack(tmp_path / "system", "x")
    target = tmp_path / "mine" / "x"
    target.parent.mkdir()
    assert packs.copy(source, target) == target
    (target / "new.txt").write_text("mine")
    packs.copy(source, target)
    assert sorted(p.name for p in target.iterdir()) == ["new.txt", "pack.yaml"]
