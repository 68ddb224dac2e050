"""Manifests are read strictly, and one that is wrong harms no other."""

from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.host.manifest import FILE_BYTES, discover, read_manifest

GOOD = """\
name: acme
kind: runner
version: 1.2.0
command: [python, acme_runner.py]
runners:
  - name: acme.do
    aliases: [acme-do]
    parameters:
      cmd: {type: string, required: true}
    max_concurrency: 3
    default_timeout: 30
"""


def written(root: Path, text: str, folder: str = "acme") -> Path:
    """Write a manifest into a folder of its own."""
    file = root / folder / "plugin.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refusal(root: Path, text: str) -> str:
    """Return why a manifest is refused, without the path before the file's name."""
    with pytest.raises(errors.InvalidInput) as caught:
        read_manifest(written(root, text))
    return str(caught.value).removeprefix(f"{root}/acme/")


def test_offers_what_the_manifest_declares(tmp_path: Path) -> None:
    """A runner entry becomes an offer with the same values, times in seconds."""
    written(tmp_path, GOOD)

    (plugin,) = discover([tmp_path]).plugins
    (offer,) = plugin.offers

    assert ("acme.do", "acme", ("acme-do",)) == (offer.name, offer.plugin, offer.aliases)
    assert {"cmd": {"type": "string", "required": True}} == offer.parameters
    assert (3, 30.0) == (offer.max_concurrency, offer.default_timeout_seconds)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("kind:", "kimd:", "plugin.yaml:2: /kimd: unknown key; allowed are command, description,"),
        ("max_concurrency", "max", "plugin.yaml:10: /runners/0/max: unknown key; allowed are"),
        ("version: 1.2.0", "version: 1.2", "plugin.yaml:3: /version: Expected `str`, got `float`"),
        ("1.2.0", "v1", "plugin.yaml:3: /version: must be a semantic version, found 'v1'"),
        ("name: acme\n", "name: other\n", "plugin.yaml:1: /name: must be the folder's name 'acme'"),
        ("kind: runner", "kind: gadget", "plugin.yaml:2: /kind: Invalid enum value 'gadget'"),
        ("kind: runner", "kind: sensor", "plugin.yaml:5: /runners: only a plugin of kind runner"),
        ("concurrency: 3", "concurrency: -1", "plugin.yaml:10: /runners/0/max_concurrency: must"),
        ("timeout: 30", "timeout: 0", "plugin.yaml:11: /runners/0/default_timeout: must be more"),
        ("acme.do", "Acme Do", "plugin.yaml:6: /runners/0/name: must match"),
        ("[acme-do]", "[Do]", "plugin.yaml:7: /runners/0/aliases: must match"),
        ("kind:", "name: acme\nkind:", "plugin.yaml:2: the key 'name' stands twice, first on line"),
        ("[python, acme_runner.py]", "[]", "plugin.yaml:4: /command: must name a program"),
        ("[python, acme_runner.py]", "[", "plugin.yaml:6: "),
        ("runners:", "min_instances: 2\nrunners:", "plugin.yaml:5: /min_instances: must be 0 or 1"),
        ("runners:", "start_timeout: 0\nrunners:", "plugin.yaml:5: /start_timeout: must be more"),
        ("runners:", "idle_timeout: -1\nrunners:", "plugin.yaml:5: /idle_timeout: must be 0"),
    ],
)
def test_says_where_a_manifest_is_wrong(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """A refusal names file, line, path, what was found and what is allowed."""
    assert refusal(tmp_path, GOOD.replace(old, new, 1)).startswith(reason)


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n", "name: acme\n"])
def test_refuses_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    """A document of another shape is refused with its place."""
    assert refusal(tmp_path, text).startswith("plugin.yaml:1: ")


def test_refuses_a_manifest_over_the_limit(tmp_path: Path) -> None:
    """The size limit names its maximum and the value."""
    assert f"limited to {FILE_BYTES} bytes" in refusal(tmp_path, GOOD + "#" * FILE_BYTES)


def test_loads_the_others(tmp_path: Path) -> None:
    """A wrong manifest is reported; the others still load."""
    written(tmp_path, "name: [\n", "broken")
    written(tmp_path, GOOD)

    found = discover([tmp_path])

    assert ["acme"] == [plugin.manifest.name for plugin in found.plugins]
    assert ["broken"] == [refused.folder.name for refused in found.refused]


def test_refuses_a_runner_that_another_plugin_has(tmp_path: Path) -> None:
    """Names and aliases are unique over all plugins; the first found keeps them."""
    written(tmp_path / "a", GOOD)
    other = GOOD.replace("name: acme\n", "name: late\n").replace("acme.do", "late.do")
    written(tmp_path / "b", other, "late")

    (refused,) = discover([tmp_path / "a", tmp_path / "b"]).refused

    assert (
        f"runner 'acme-do' is declared already by {tmp_path}/a/acme/plugin.yaml" in refused.reason
    )


def test_a_sensor_is_found_and_offers_no_runner(tmp_path: Path) -> None:
    """Sensors have manifests too."""
    written(tmp_path, "name: acme\nkind: sensor\nversion: 1.0.0\ncommand: [python, s.py]\n")

    (plugin,) = discover([tmp_path]).plugins

    assert () == plugin.offers


def test_the_bundled_plugins_are_in_order() -> None:
    """What the project ships loads without a refusal."""
    root = Path(__file__).parents[3]

    assert () == discover([root / "runners", root / "sensors"]).refused
