"""What is seen of the access rules: denied puts counted, rules read anew on SIGHUP, an alarm where they cannot be."""

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from caproto import AlarmStatus

from ponikeeper.access.loading import Access
from ponikeeper.ca.channels import ClientIdentity
from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.config import load
from ponikeeper.errors import ConfigError

log = logging.getLogger(__name__)


class Clients(Protocol):
    """Who tells the clients."""

    async def update_access_rights(self) -> None:
        """Tell every client what it may do now."""
        ...


class AccessPVs:
    """The rules in force, and their PVs.

    Parameters
    ----------
    access
        The rules.
    source
        Path of the configuration that says where they are.
    channels
        The IOC's own, by suffix.
    """

    def __init__(self, access: Access, source: Path, channels: Mapping[str, Any]) -> None:
        self._access, self._source = access, source
        self._health, self._denied_pv = HealthPVs(channels, "Access", AlarmStatus.READ), channels["Denied_RBV"]
        self._denied = 0
        self._changed = asyncio.Event()
        self._reload_requested = self._failed = False
        self._message = f"in force: {access.rules}"

    def count_denied(self, name: str, identity: ClientIdentity) -> None:
        """Count a put that the rules did not let through."""
        self._denied += 1
        log.warning("denied: %s to %s, who is at %s", name, identity, identity.address)
        self._changed.set()

    async def run(self, clients: Clients) -> None:
        """Show what is new, and read the rules anew on SIGHUP; for ever."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._request_reload)
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._reload_requested:
                self._reload_requested = False
                await self._reload_rules(clients)
            await self._publish()

    def _request_reload(self) -> None:
        self._reload_requested = True
        self._changed.set()

    async def _reload_rules(self, clients: Clients) -> None:
        try:
            config = await asyncio.to_thread(load, self._source)
            await asyncio.to_thread(self._access.renew, config)  # hosts are looked up
        except ConfigError as error:
            self._message = f"the rules before are kept: {error}"
            self._failed = True
            log.error("access rules: %s", self._message)  # noqa: TRY400  # a mistake in a file has no traceback
        else:
            self._message = f"in force: {self._access.rules}"
            self._failed = False
            log.warning("access rules: %s", self._message)
            await clients.update_access_rights()

    async def _publish(self) -> None:
        await self._health.publish(not self._failed, self._message)
        await self._denied_pv.post(self._denied, time.time())
