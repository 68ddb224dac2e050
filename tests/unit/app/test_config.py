"""The broker's settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.app import config
from whimbrel.errors import ContentErrors, InvalidInput

HOME = {"HOME": "/home/ann"}


def written(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    file = folder / "whimbrel.yaml"
    file.write_text(text)
    return file


def refusals(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None = None
) -> list[str]:
    """Return what is refused of these sources."""
    with pytest.raises(ContentErrors) as caught:
        config.load(flags, {**HOME, **environment}, file)
    return [str(refusal) for refusal in caught.value.refusals]


def test_defaults_follow_the_users_folders() -> None:
    """Data, runtime and configuration each have their place; the key is apart from the data."""
    usual = config.load({}, HOME)
    xdg = config.load(
        {},
        {"XDG_DATA_HOME": "/d", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r", **HOME},
    )

    assert Path("/home/ann/.local/share/whimbrel") == usual.folder
    assert usual.folder / "run" == usual.run_folder
    assert (usual.folder / "packs",) == usual.packs_paths
    assert Path("/home/ann/.config/whimbrel/master.key") == usual.master_key_file
    assert (Path("/d/whimbrel"), Path("/r/whimbrel"), Path("/c/whimbrel/master.key")) == (
        xdg.folder,
        xdg.run_folder,
        xdg.master_key_file,
    )


def test_a_folder_of_its_own_has_sockets_of_its_own() -> None:
    """Two brokers of one user do not meet in one runtime folder."""
    settings = config.load({"folder": "/data"}, {**HOME, "XDG_RUNTIME_DIR": "/r"})

    assert (Path("/data/run"), Path("/data/packs")) == (
        settings.run_folder,
        settings.packs_paths[0],
    )


def test_a_flag_wins_over_a_variable_and_this_over_the_file(tmp_path: Path) -> None:
    """The strongest source that speaks of an option is heard."""
    file = written(tmp_path, "port: 1\ngrpc_port: 1\nlog_level: debug\n")

    settings = config.load(
        {"port": "3"}, {**HOME, "WHIMBREL_PORT": "2", "WHIMBREL_GRPC_PORT": "2"}, file
    )

    assert (settings.port, settings.grpc_port, settings.log_level) == (3, 2, "debug")


def test_the_file_is_found_by_its_variable_and_in_its_usual_place(tmp_path: Path) -> None:
    """A named file must be there; the usual one may be missing."""
    (tmp_path / "whimbrel").mkdir()
    usual = written(tmp_path / "whimbrel", "port: 1\n")
    named = written(tmp_path, "port: 2\n")
    environment = {**HOME, "XDG_CONFIG_HOME": str(tmp_path)}

    assert config.load({}, environment).port == 1
    assert config.load({}, {**environment, "WHIMBREL_CONFIG": str(named)}).port == 2
    usual.unlink()
    assert config.load({}, environment).port == config.DEFAULT_PORT
    with pytest.raises(InvalidInput, match="cannot be read"):
        config.load({}, HOME, tmp_path / "missing.yaml")


def test_unknown_keys_are_refused_with_their_place_and_the_nearest(tmp_path: Path) -> None:
    """A misspelt option is not silently ignored."""
    file = written(tmp_path, "port: 1\nlog_levle: debug\n")

    assert [f"{file}:2: there is no option 'log_levle'; did you mean log_level?"] == refusals(
        {}, {}, file
    )


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    """The second is not silently taken."""
    file = written(tmp_path, "port: 1\nport: 2\n")

    assert [f"{file}:2: port is given twice"] == refusals({}, {}, file)


def test_every_bad_value_is_told_with_source_value_and_what_is_allowed(tmp_path: Path) -> None:
    """One run shows all that is wrong."""
    file = written(tmp_path, "store_sync: never\ndev: 'yes'\nallow_origin: 5\n")

    assert [
        f"{file}:1: store_sync: must be durable or relaxed, got 'never'",
        f"{file}:2: dev: must be true or false, got 'yes'",
        f"{file}:3: allow_origin: must be a list of text (in text, parted by `,`), got 5",
        "WHIMBREL_GRPC_PORT: must be a whole number from 0 to 65535, got '65536'",
        "--port: must be a whole number from 0 to 65535, got 'x'",
    ] == refusals({"port": "x"}, {"WHIMBREL_GRPC_PORT": "65536"}, file)


@pytest.mark.parametrize(
    ("text", "told"),
    [("- port", "must be a mapping"), ("a: [", "not YAML"), ("a: !!x 1", "not YAML")],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, told: str, tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(InvalidInput, match=told) as caught:
        config.load({}, HOME, written(tmp_path, text))

    assert str(tmp_path) in caught.value.place


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    """Comments alone are fine."""
    assert config.load({}, HOME) == config.load({}, HOME, written(tmp_path, "# nothing\n"))


def test_relative_paths_start_where_they_are_written(tmp_path: Path) -> None:
    """In the file they start from its folder, in flags from the current one; `~` is the home."""
    file = written(tmp_path, "users_file: users\npacks_paths: [a, /b]\n")

    settings = config.load({"folder": "data"}, HOME, file)

    assert tmp_path / "users" == settings.users_file
    assert (tmp_path / "a", Path("/b")) == settings.packs_paths
    assert Path.cwd() / "data" == settings.folder


def test_lists_in_text_are_parted() -> None:
    """Paths by the system's separator, other lists by commas."""
    settings = config.load(
        {}, {**HOME, "WHIMBREL_PACKS_PATHS": "/a:/b", "WHIMBREL_ALLOW_ORIGIN": "http://x,http://y"}
    )

    assert (Path("/a"), Path("/b")) == settings.packs_paths
    assert settings.allow_origin == ("http://x", "http://y")


@pytest.mark.parametrize("value", ["embedded", "nats://h:4222", "tls://h", "wss://h:443"])
def test_nats_is_embedded_or_a_url(value: str) -> None:
    """The usual schemes are taken."""
    assert value == config.load({"nats": value}, HOME).nats


@pytest.mark.parametrize("value", ["http://h", "h:4222", "nats://", "nats://u:p@h"])
def test_another_nats_address_is_refused(value: str) -> None:
    """Credentials in the URL are refused as well: a URL is shown and logged."""
    (told,) = refusals({"nats": value}, {})

    assert told.startswith("--nats: ")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"tls_cert": "/c"}, "given together"),
        ({"nats_credentials": "/c"}, "embedded server makes its own"),
        ({"port": "9110", "grpc_port": "9110"}, "port 9110 is already that of port"),
    ],
)
def test_options_that_contradict_each_other_are_refused(flags: dict[str, str], told: str) -> None:
    """Each option alone would be fine."""
    with pytest.raises(InvalidInput, match=told):
        config.load(flags, HOME)


def test_two_ports_may_both_be_free_ones() -> None:
    """Port 0 stands for any free port and is taken by nobody."""
    settings = config.load({"port": "0", "grpc_port": "0"}, HOME)

    assert (settings.port, settings.grpc_port) == (0, 0)


@given(st.integers(-(10**6), 10**6))
def test_ports_are_taken_within_their_limits_alone(number: int) -> None:
    """Every number is either taken as it is or refused."""
    try:
        assert number == config.load({"port": str(number)}, HOME).port
        assert 0 <= number <= 65535
    except ContentErrors:
        assert not 0 <= number <= 65535


def test_every_option_is_in_the_reference() -> None:
    """The page and the settings follow from one description."""
    page = config.render_reference()

    for option in config.options():
        assert f"`{option.name}`<br>`{option.variable}`" in page
        assert option.help
        assert option.help in page
