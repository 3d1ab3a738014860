"""Read the structure ``Geometry`` of a detector over PVAccess (p4p)."""

import asyncio
from typing import Any

from ponikeeper.errors import MissingExtraError
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.geometry_structure import NAME, snapshot_of

try:
    from p4p.client.asyncio import Context  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    raise MissingExtraError("p4p") from error

_contexts: dict[asyncio.AbstractEventLoop, Any] = {}
"""A client of each loop; those of loops that are closed are closed when another loop needs one."""


async def read_geometry(prefix: str) -> Snapshot:
    """Read all that is active now: one structure, and so of one instant.

    Parameters
    ----------
    prefix
        PV prefix of the detector.

    Returns
    -------
    Snapshot
        The same as of ``Snapshot_RBV``.

    Raises
    ------
    MessageError
        The PV is no such structure.
    """
    loop = asyncio.get_running_loop()
    if loop not in _contexts:
        for ended in [each for each in _contexts if each.is_closed()]:
            _contexts.pop(ended).close()
        _contexts[loop] = Context("pva", nt=False)
    return snapshot_of(prefix, (await _contexts[loop].get(f"{prefix}{NAME}")).todict())
