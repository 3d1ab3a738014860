"""The Channel Access server: its protocol on asyncio, as fast as EPICS base's and robust against any client.

`Context` is the server, `Source` a PV that it serves.
"""

from ponikeeper.ca.server.context import Context, Limits
from ponikeeper.ca.server.identity import ClientIdentity
from ponikeeper.ca.server.names import Modifiers
from ponikeeper.ca.server.source import Source, events_of

__all__ = ["ClientIdentity", "Context", "Limits", "Modifiers", "Source", "events_of"]
