"""The `whimbrel` command. It speaks REST and imports what a command needs when it runs."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    from whimbrel.cli.entry import main as run

    return run()


__all__ = ["main"]
