"""What the service needs of the part that serves PVAccess, which the command line gives it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ponikeeper.access.gate import Gate
from ponikeeper.access.loading import Access
from ponikeeper.ca.puts import Puts
from ponikeeper.config import Config


class PvaPart(Protocol):
    """The part of the service that serves PVAccess; `ponikeeper.pva.service` has it."""

    @property
    def port(self) -> int:
        """The TCP port."""
        ...

    async def run(self) -> None:
        """Serve until cancelled."""
        ...

    async def wait_until_ready(self, timeout: float) -> None:
        """Wait until it answers; raises `TimeoutError`."""
        ...

    def has_heartbeat(self) -> bool:
        """Return whether a heartbeat has arrived within the last seconds."""
        ...

    async def update_access_rights(self) -> None:
        """Apply the rules that have changed."""
        ...


MakePva = Callable[[Config, Mapping[str, Any], Mapping[str, Puts], Access, Gate, Sequence[str]], PvaPart]
"""Makes that part from the configuration, the PVs, the requests of each detector, access rules and interfaces."""
