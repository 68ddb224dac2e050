"""The runner announcement: its result is the message, which the broker puts on the event stream."""

from whimbrel_sdk import FailureKind, Outcome, Plugin, Run, serve

plugin = Plugin(name="announcement", version="0.1.0")


@plugin.runner("announcement")
async def announcement(run: Run) -> Outcome:
    """Return the action's parameters; refuse without the parameter `experimental`."""
    if run.params.get("experimental") is not True:
        reason = "the announcement runner is experimental: set its parameter experimental to true"
        return Outcome.failed({"error": reason}, reason, FailureKind.INVALID_INPUT)
    return Outcome.succeeded(run.action_params)


if __name__ == "__main__":
    serve(plugin)
