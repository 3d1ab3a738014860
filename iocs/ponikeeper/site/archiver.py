"""What the Archiver Appliance needs: which PVs of an IOC to archive, derived from the PV contract. Pure."""

import json

from ponikeeper.config import Config

_PERIOD = 1.0
"""Shortest expected time between changes of an archived value (s); the archiver sizes its buffers by it."""


def archiver_request(config: Config) -> str:
    """Format the body of an ``archivePV`` request: the PVs to archive, each by monitor (JSON)."""
    rows = [
        {"pv": name, "samplingmethod": "MONITOR", "samplingperiod": str(_PERIOD)}
        for name, pv in config.served_pvs()
        if pv.archived
    ]
    return json.dumps(rows, indent=1) + "\n"
