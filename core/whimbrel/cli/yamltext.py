"""YAML as people like to read it: block style, long text as it is, several lines as a block."""

from typing import Any

import yaml

LINE_WIDTH = 1 << 30


class _Dumper(yaml.CSafeDumper):
    """Block style, and literal blocks for text of several lines."""

    def ignore_aliases(self, data: object) -> bool:
        """Return that no value is written as a reference to another: JSON has none."""
        return True


def _text(dumper: yaml.CSafeDumper, value: str) -> yaml.Node:
    several_lines = "\n" in value and value.replace("\n", "").replace("\t", "").isprintable()
    style = "|" if several_lines else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any, *, indent: int = 4) -> str:
    """Return the value as YAML text with a newline at its end."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        indent=indent,
        width=LINE_WIDTH,
    )
    return text


__all__ = ["dump"]
