"""The PVs of iocStats, which a site monitors on every IOC."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import caproto

from ponikeeper import __version__
from ponikeeper.protocol.clients import ClientInfo, clients_text
from ponikeeper.system import process_stats
from ponikeeper.text.ascii import to_ascii

_BEAT = 1.0
"""Seconds between two heartbeats."""

_SLOW = 10
"""Heartbeats between two readings of memory, files and clients."""


class ClientCounter(Protocol):
    """Counts the clients."""

    def count_refused_clients(self) -> int:
        """Return how many clients were refused because there were too many."""
        ...

    def clients(self) -> list[ClientInfo]:
        """Return what is known of each client."""
        ...

    def count_clients(self) -> tuple[int, int]:
        """Return the number of connected clients and of their channels."""
        ...


class StatsPVs:
    """Publishes the process statistics of the IOC.

    Parameters
    ----------
    channels
        The IOC's own channels, by suffix.
    engineer, location
        Texts from the configuration.
    starts
        Number of starts of this IOC.
    """

    def __init__(self, channels: Mapping[str, Any], engineer: str, location: str, starts: int) -> None:
        self._channels = channels
        self._fixed = {
            "STARTTOD": _clock(time.time()),
            "START_CNT": float(starts),
            "HOSTNAME": process_stats.host_name(),
            "PROCESS_ID": float(os.getpid()),
            "ENGINEER": engineer,
            "LOCATION": location,
            "APP_DIR": _working_folder(),
            "EPICS_VERSION": f"caproto {caproto.__version__}, ponikeeper {__version__}",
        }
        self._began = time.monotonic()

    async def run(self, clients: ClientCounter) -> None:
        """Publish the statistics at each heartbeat, until cancelled."""
        self._publish(self._fixed)
        beats = 0
        while True:
            uptime = time.monotonic() - self._began
            self._publish({"HEARTBEAT": float(beats), "UPTIME": duration(uptime), "TOD": _clock(time.time())})
            if beats % _SLOW == 0:
                self._publish_use(clients)
            beats += 1
            await asyncio.sleep(max(0.0, self._began + beats * _BEAT - time.monotonic()))

    def _publish_use(self, clients: ClientCounter) -> None:
        used = process_stats.read()
        count, connections = clients.count_clients()
        self._publish(
            {
                "CA_CLNT_CNT": float(count),
                "CA_CONN_CNT": float(connections),
                "ClientsRefused_RBV": clients.count_refused_clients(),
                "MEM_USED": used.memory,
                "FD_CNT": float(used.open_files),
                "FD_FREE": float(used.free_files),
            }
        )
        self._channels["Clients_RBV"].post(clients_text(clients.clients()), time.time(), only_changes=True)

    def _publish(self, values: Mapping[str, Any]) -> None:
        now = time.time()
        for suffix, value in values.items():
            self._channels[suffix].post(to_ascii(value) if isinstance(value, str) else value, now)


def _working_folder() -> str:
    """Return the working folder; empty if it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def duration(seconds: float) -> str:
    """Format a duration as iocStats does: ``2 days, 03:04:05``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days} day{'s' * (days != 1)}, {clock}" if days else clock


def _clock(instant: float) -> str:
    return time.strftime("%m/%d/%Y %H:%M:%S", time.localtime(instant))
