"""PVAccess for tests: p4p clients of one IOC, which do not search by UDP."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from p4p.client.thread import Context, RemoteError

from live import LiveIoc, wait_for

TIMEOUT = 20.0


def settings(port: int) -> dict[str, str]:
    """Return the EPICS variables of a client of the server at a port of loopback."""
    return {
        "EPICS_PVA_NAME_SERVERS": f"127.0.0.1:{port}",
        "EPICS_PVA_ADDR_LIST": "",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    }


@contextlib.contextmanager
def connected(port: int) -> Iterator[Context]:
    """Return a client, whose values are the structures as they are."""
    with Context("pva", conf=settings(port), useenv=False, nt=False) as context:
        yield context


def fields(value: Any) -> dict[str, Any]:
    """Return the fields of a structure that are no structures, such as ``alarm.severity``."""
    flat: dict[str, Any] = {}
    for name, item in value.todict().items():
        flat |= {f"{name}.{key}": inner for key, inner in item.items()} if isinstance(item, dict) else {name: item}
    return flat


def environment(port: int) -> dict[str, str]:
    """Return the environment of a program that is a client of the server at a port of loopback."""
    return {**os.environ, **settings(port)}


def searching(ioc: LiveIoc) -> dict[str, str]:
    """Return the environment of a program that searches by UDP: that of EPICS base knows no name servers."""
    settings = {"EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
    return {**os.environ, **settings, "EPICS_PVA_BROADCAST_PORT": str(ioc.pva_search_port)}


def put(client: Context, pv: str, value: Any, **options: Any) -> str | None:
    """Put and wait for the answer; return the error of a refused put, None where it was accepted."""
    try:
        client.put(pv, value, timeout=TIMEOUT, **options)
    except RemoteError as error:
        return str(error)
    return None


def get(client: Context, pv: str) -> Any:
    """Get a structure."""
    return client.get(pv, timeout=TIMEOUT)


@contextlib.contextmanager
def monitoring(client: Context, pv: str) -> Iterator[list[Any]]:
    """Subscribe as long as the block lasts; the first value has arrived when it begins."""
    updates: list[Any] = []
    subscription = client.monitor(pv, updates.append)
    try:
        wait_for(lambda: updates, what=f"the first value of {pv}")
        yield updates
    finally:
        subscription.close()
