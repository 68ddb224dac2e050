"""Write docs/reference/ from what describes itself: options, commands, endpoints, expression functions."""

from pathlib import Path

from whimbrel.app import config
from whimbrel.cli import reference as cli_reference
from whimbrel.gateway import reference as rest_reference

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def main() -> None:
    """Replace the pages."""
    pages = {
        "configuration.md": config.render_reference(),
        "cli.md": cli_reference.render(),
        "rest.md": rest_reference.render(),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
