"""The PVs of the access rules: denied puts are counted, rules are reloaded on SIGHUP, a failure is an alarm."""

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from typing import Any, Protocol

from caproto import AlarmStatus

from ponikeeper.access.loading import Access
from ponikeeper.ca.config_changes import pending_changes
from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.config import Config, load
from ponikeeper.errors import ConfigError

log = logging.getLogger(__name__)


class Clients(Protocol):
    """The clients of the server."""

    async def update_access_rights(self) -> None:
        """Send every client its access rights."""
        ...


class AccessPVs:
    """The active access rules, and their PVs.

    Parameters
    ----------
    access
        The rules.
    running
        The configuration that is served; its file is read again.
    channels
        The IOC's own channels, by suffix.
    """

    def __init__(self, access: Access, running: Config, channels: Mapping[str, Any]) -> None:
        self._access, self._running = access, running
        self._health, self._denied_pv = HealthPVs(channels, "Access", AlarmStatus.READ), channels["Denied_RBV"]
        self._denied = 0
        self._changed = asyncio.Event()
        self._reload_requested = self._failed = False
        self._message = f"active: {access.rules}"

    def count_denied(self, name: str, identity: ClientIdentity) -> None:
        """Count and log a put that the rules deny."""
        self._denied += 1
        log.warning("denied: put to %s by %s from %s", name, identity, identity.address)
        self._changed.set()

    async def run(self, *clients: Clients) -> None:
        """Publish changes, and reload the rules on SIGHUP; until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._request_reload)
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._reload_requested:
                self._reload_requested = False
                await self._reload_rules(*clients)
            self._publish()

    def _request_reload(self) -> None:
        self._reload_requested = True
        self._changed.set()

    async def _reload_rules(self, *clients: Clients) -> None:
        try:
            config = await asyncio.to_thread(load, self._running.source)
            await asyncio.to_thread(self._access.renew, config)  # hosts are looked up
        except ConfigError as error:
            self._message = f"the previous rules stay active: {error}"
            self._failed = True
            log.error("access rules: %s", self._message)  # noqa: TRY400  # a mistake in a file needs no traceback
        else:
            self._message = f"active: {self._access.rules}"
            self._failed = False
            log.warning("access rules: %s", self._message)
            self._report_pending(config)
            for each in clients:
                await each.update_access_rights()

    def _report_pending(self, written: Config) -> None:
        """Report what else has changed in the file: it counts after a restart."""
        changes = pending_changes(self._running, written)
        if changes:
            text = f"other changes of {self._running.source} count after a restart: {'; '.join(changes)}"
            self._message += f"; {text}"
            log.warning("%s", text)

    def _publish(self) -> None:
        self._health.publish(not self._failed, self._message)
        self._denied_pv.post(self._denied, time.time())
