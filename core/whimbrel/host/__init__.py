"""The plugin host: manifests, launch, handshake, supervision; the port that the broker uses."""

from whimbrel.host.port import (
    Host,
    NoSlot,
    OnOutput,
    OnStarted,
    PluginFailed,
    PluginStatus,
)

__all__ = ["Host", "NoSlot", "OnOutput", "OnStarted", "PluginFailed", "PluginStatus"]
