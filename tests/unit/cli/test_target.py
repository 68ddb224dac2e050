"""Which server, and whose credentials."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from whimbrel.cli import target
from whimbrel.cli.failures import CommandFailed, Usage
from whimbrel.cli.shell import Shell

from tests.unit.cli import served

CONFIG = """
[general]
base_url = http://file:1
[credentials]
api_key = file-key
[stream]
url = http://stream/v1
[cli]
timezone = Europe/Berlin
"""


def resolve(
    environment: Mapping[str, str],
    home: Path,
    values: Mapping[str, Any] | None = None,
    **flags: str,
) -> target.Target:
    """Resolve a target with a home folder of its own."""
    shell = Shell(
        environment={"HOME": str(home), **environment},
        input=io.StringIO(),
        output=io.StringIO(),
        errors=io.StringIO(),
        now=lambda: served.NOW,
        pause=lambda seconds: None,
    )
    return target.resolve(flags, shell, values or {})


def write_config(home: Path) -> None:
    """Write the configuration file of this page."""
    (home / ".whimbrel").mkdir()
    (home / ".whimbrel" / "config").write_text(CONFIG)


def urls(found: target.Target) -> tuple[str, str, str]:
    """Return the three addresses."""
    return (found.api_url, found.auth_url, found.stream_url)


def test_the_default_is_the_broker_of_this_machine(tmp_path: Path) -> None:
    """Without any word, the usual port of this machine is meant."""
    assert urls(resolve({}, tmp_path)) == (
        "http://127.0.0.1:9110/api/v1",
        "http://127.0.0.1:9110/auth/v1",
        "http://127.0.0.1:9110/stream/v1",
    )


def test_the_default_port_is_the_brokers(tmp_path: Path) -> None:
    """Command line and broker agree on the port without knowing each other."""
    from whimbrel.app import config

    assert target.DEFAULT_URL.endswith(f":{config.DEFAULT_PORT}")


def test_a_flag_wins_over_variables_and_these_over_the_file(tmp_path: Path) -> None:
    """Flag, own variable, StackStorm's variable, file, default: the first that speaks is heard."""
    write_config(tmp_path)
    own = {"WHIMBREL_URL": "http://own:2"}
    st2 = {"ST2_BASE_URL": "http://st2:3"}

    assert resolve({**own, **st2}, tmp_path, url="http://flag").api_url == "http://flag/api/v1"
    assert resolve({**own, **st2}, tmp_path).api_url == "http://own:2/api/v1"
    assert resolve(st2, tmp_path).api_url == "http://st2:3/api/v1"
    assert urls(resolve({}, tmp_path)) == (
        "http://file:1/api/v1",
        "http://file:1/auth/v1",
        "http://stream/v1",
    )


def test_a_stackstorm_base_without_a_port_means_its_three_ports(tmp_path: Path) -> None:
    """ST2_BASE_URL=http://host is API 9101, auth 9100 and stream 9102."""
    found = resolve({"ST2_BASE_URL": "http://st2"}, tmp_path)

    assert urls(found) == ("http://st2:9101/v1", "http://st2:9100", "http://st2:9102/v1")


def test_direct_addresses_are_taken_as_they_are(tmp_path: Path) -> None:
    """The addresses of single services win over the base of the same source."""
    found = resolve(
        {"ST2_API_URL": "http://a:1/v1", "ST2_AUTH_URL": "http://b:2/", "ST2_BASE_URL": "http://c"},
        tmp_path,
    )

    assert urls(found) == ("http://a:1/v1", "http://b:2", "http://c:9102/v1")


def test_tokens_and_keys_come_from_flags_variables_and_file_in_that_order(tmp_path: Path) -> None:
    """The command's own flag is the strongest."""
    write_config(tmp_path)
    environment = {"ST2_AUTH_TOKEN": "st2", "ST2_API_KEY": "key"}

    assert resolve(environment, tmp_path, {"token": "flag"}).token == "flag"
    assert resolve(environment, tmp_path).token == "st2"
    assert resolve(environment, tmp_path).api_key == "key"
    assert resolve({}, tmp_path).api_key == "file-key"


def test_skip_config_reads_no_file(tmp_path: Path) -> None:
    """A file that is skipped says nothing, though it may be broken."""
    write_config(tmp_path)

    found = resolve({"WHIMBREL_CLI_SKIP_CONFIG": "1"}, tmp_path)

    assert found.api_key == ""


@pytest.mark.parametrize(
    ("word", "expected"), [("false", "off"), ("true", ""), ("", ""), ("/ca.pem", "/ca.pem")]
)
def test_certificates_are_checked_unless_told_otherwise(
    word: str, expected: str, tmp_path: Path
) -> None:
    """`false` turns the check off, a path names the authority, nothing is the system's own."""
    assert expected == resolve({"ST2_CACERT": word}, tmp_path).cacert


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    """The refusal shows the value and the form."""
    with pytest.raises(Usage, match="'localhost:9110"):
        resolve({}, tmp_path, url="localhost:9110")


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """The usual file may be missing, a named one may not."""
    with pytest.raises(CommandFailed, match="nowhere"):
        resolve({"ST2_CONFIG_FILE": str(tmp_path / "nowhere")}, tmp_path)


def test_print_config_masks_secrets_and_exits_3(tmp_path: Path) -> None:
    """What is in use is shown, but for what is secret."""
    outcome = served.run(
        "--print-config", environment={"HOME": str(tmp_path), "WHIMBREL_AUTH_TOKEN": "hush"}
    )

    assert outcome.code == 3
    assert "token = ********" in outcome.output
    assert "hush" not in outcome.output
