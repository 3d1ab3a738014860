"""The Channel Access server: its protocol on asyncio, as fast as EPICS base's and robust against any client.

`Context` is the server, `Source` a PV that it serves.
"""

from ponikeeper.access.identity import ClientIdentity as ClientIdentity
from ponikeeper.ca.server.context import Context as Context
from ponikeeper.ca.server.context import Limits as Limits
from ponikeeper.ca.server.names import Modifiers as Modifiers
from ponikeeper.ca.server.source import Source as Source
from ponikeeper.ca.server.source import events_of as events_of
