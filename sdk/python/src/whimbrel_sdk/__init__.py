"""Write Whimbrel plugins in Python.

Importing this package costs no gRPC; `serve` loads the transport when the plugin starts.
"""

from whimbrel_sdk.plugin import Plugin
from whimbrel_sdk.run import FailureKind, Outcome, Run, Status
from whimbrel_sdk.serving import serve

__all__ = ["FailureKind", "Outcome", "Plugin", "Run", "Status", "serve"]
