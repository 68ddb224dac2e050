"""Run every benchmark, print its figures, keep them as JSON: `make bench`."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMES = ("spawn", "store", "bus", "host", "rules", "path")


def lines(figures: dict[str, Any], indent: str = "  ") -> list[str]:
    """Return the figures as text, one a line."""
    found = []
    for name, value in figures.items():
        if isinstance(value, dict):
            found += [f"{indent}{name}", *lines(value, indent + "  ")]
        elif isinstance(value, float):
            found.append(f"{indent}{name:<44} {value:,.3f}")
        else:
            found.append(f"{indent}{name:<44} {value}")
    return found


def main() -> None:
    """Run the benchmarks that are named, or all."""
    sys.path.insert(0, str(ROOT))
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NAMES:
        figures = importlib.import_module(f"benchmarks.{name}").measure()
        print(name, *lines(figures), sep="\n", flush=True)
        (results / f"{name}.json").write_text(json.dumps(figures, indent=2, default=str))


if __name__ == "__main__":
    main()
