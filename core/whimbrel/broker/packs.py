"""Packs on disk: where they are, what is in them, and what in them has to be refused.

A file that cannot be used is refused with its place and its reason; the rest of the pack still loads.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker import documents, yaml
from whimbrel.broker.schema import SchemaViolation

METADATA_FILE = "pack.yaml"
SYSTEM_PACK = "core"
"""Its resources come from the bundled folder alone, and callers cannot change them."""

FOLDERS: Mapping[str, str] = {"trigger_type": "triggers", "action": "actions", "rule": "rules"}
"""Where each kind of content stands in a pack, in the order in which it is registered."""

EXTENSIONS = (".yaml", ".yml")
FILES_LIMIT = 10_000
"""Content files of one pack; what is beyond is refused."""


class Found(msgspec.Struct, frozen=True):
    """A checked document and the file that it stands in, relative to the pack."""

    kind: str
    file: str
    document: dict[str, Any]


class LoadedPack(msgspec.Struct, frozen=True):
    """What one pack on disk has. `refusals` say what of it cannot be used."""

    ref: str
    path: Path
    metadata: dict[str, Any]
    found: tuple[Found, ...]
    refusals: tuple[errors.InvalidInput, ...]


def search(system: Path, others: Sequence[Path]) -> dict[str, Path]:
    """Return the folder of every pack by ref.

    An operator's folder comes before the bundled one, the first of several wins; only the system pack
    cannot be replaced. A folder whose pack has no usable ref goes by the folder's name.
    """
    found: dict[str, Path] = {}
    for root in (*others, system):
        for path in _pack_folders(root):
            found.setdefault(_ref_of(path), path)
    core = system / SYSTEM_PACK
    if (core / METADATA_FILE).is_file():
        found[SYSTEM_PACK] = core
    return found


def _pack_folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if (path / METADATA_FILE).is_file())


def _ref_of(path: Path) -> str:
    """Return the ref that a pack's metadata gives; its folder's name when that cannot be read."""
    try:
        metadata = yaml.load_file(path / METADATA_FILE)
        return documents.pack_ref(
            metadata if isinstance(metadata, dict) else {}, directory=path.name
        )
    except errors.InvalidInput:
        return path.name


def load(path: Path, *, kinds: Iterable[str] = FOLDERS) -> LoadedPack:
    """Read and check a pack. Raises `InvalidInput` when its metadata cannot be used."""
    metadata = _metadata(path)
    ref = metadata["ref"]
    found: list[Found] = []
    refusals: list[errors.InvalidInput] = []
    for kind in FOLDERS:
        if kind in kinds:
            _load_kind(ref, path, kind, found, refusals)
    return LoadedPack(ref, path, metadata, tuple(found), tuple(refusals))


def _metadata(path: Path) -> dict[str, Any]:
    place = f"{path.name}/{METADATA_FILE}"
    metadata = yaml.load_file(path / METADATA_FILE, name=place)
    try:
        if not isinstance(metadata, dict):
            raise errors.InvalidInput("expected a mapping that describes the pack")
        version = documents.normalized_pack_version(metadata.get("version", ""))
        ref = documents.pack_ref(metadata, directory=path.name)
        cleaned = documents.checked_pack({**metadata, "ref": ref, "version": version})
        documents.check_email(cleaned.get("email"))
    except errors.InvalidInput as error:
        raise placed(error, place) from error
    return {**cleaned, "path": str(path), "files": files(path)}


def files(path: Path) -> list[str]:
    """Return the pack's files, relative to it, without hidden ones."""
    names = (
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    return sorted(names)


def _content_files(path: Path, kind: str) -> list[Path]:
    folder = path / FOLDERS[kind]
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix in EXTENSIONS and file.is_file())


def _load_kind(
    ref: str,
    path: Path,
    kind: str,
    found: list[Found],
    refusals: list[errors.InvalidInput],
) -> None:
    for count, file in enumerate(_content_files(path, kind)):
        name = str(file.relative_to(path))
        place = f"{ref}/{name}"
        try:
            if count >= FILES_LIMIT:
                raise errors.LimitExceeded(
                    f"{place}: files in {FOLDERS[kind]}", value=count + 1, maximum=FILES_LIMIT
                )
            document = yaml.load_file(file, name=place)
            found.append(Found(kind, name, _checked(kind, document, ref, name, place)))
        except errors.InvalidInput as error:
            refusals.append(error)


def _checked(kind: str, document: Any, ref: str, file: str, place: str) -> dict[str, Any]:
    try:
        if not isinstance(document, dict):
            raise errors.InvalidInput(f"expected a mapping that describes the {kind}")
        given = document.get("pack") or ref
        if given != ref:
            raise errors.InvalidInput(
                f'Model is in pack "{ref}" but field "pack" is different: {given}'
            )
        return documents.checked(kind, {**document, "pack": ref, "metadata_file": file})
    except errors.InvalidInput as error:
        raise placed(error, place) from error


def placed(error: errors.InvalidInput, place: str) -> errors.InvalidInput:
    """Return the error with the place of the document, and the pointer into it where there is one."""
    if isinstance(error, SchemaViolation) and error.path:
        place = f"{place}#/{'/'.join(str(step) for step in error.path)}"
    return errors.InvalidInput(str(error), place=place)


def fingerprint(path: Path, *, salt: str) -> str:
    """Return a text that changes when a content file of the pack, or `salt`, does.

    It looks at names, sizes and times of change, so that a start does not read every file.
    """
    digest = hashlib.sha256(salt.encode())
    listed = [path / METADATA_FILE]
    for kind in FOLDERS:
        listed += _content_files(path, kind)
    for file in listed:
        try:
            status = file.stat()
        except OSError:  # it went away meanwhile, or its link leads nowhere; reading it will tell
            continue
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def write_data_files(path: Path, data_files: Sequence[Mapping[str, str]]) -> list[Path]:
    """Write files into the `actions` folder of a pack; all paths are checked before the first write."""
    folder = (path / FOLDERS["action"]).resolve()
    targets = [(inside(folder, entry["file_path"]), entry["content"]) for entry in data_files]
    for target, content in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return [target for target, _ in targets]


def copy(path: Path, target: Path) -> Path:
    """Copy a pack's folder to a new place and return that; a copy that is there already is kept."""
    if not target.exists():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path, partial)
        partial.rename(target)
    return target


def inside(folder: Path, relative: str) -> Path:
    """Return the path of a file inside a folder. Raises `InvalidInput` for one that leads out of it."""
    outside = errors.InvalidInput(
        f'Invalid file path: "{relative}". It has to be inside of {folder.name}/'
    )
    if "\0" in relative:
        raise outside
    root = folder.resolve()
    target = (root / relative).resolve()
    if target == root or not target.is_relative_to(root):
        raise outside
    return target
