"""The runner noop: does nothing, and succeeds."""

from whimbrel_sdk import Outcome, Plugin, Run, serve

plugin = Plugin(name="noop", version="0.1.0")


@plugin.runner("noop")
async def noop(run: Run) -> Outcome:
    """Succeed."""
    return Outcome.succeeded({"failed": False, "succeeded": True, "return_code": 0})


if __name__ == "__main__":
    serve(plugin)
