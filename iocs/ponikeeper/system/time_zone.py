"""The name of this host's time zone."""

import os
import time
from pathlib import Path


def local_zone_name() -> str:
    """Return the name of the time zone in which this host writes times.

    Returns
    -------
    str
        Such as ``America/New_York``, from ``$TZ`` or ``/etc/localtime``; else its abbreviations, such as ``CET/CEST``.
    """
    named = os.environ.get("TZ", "").removeprefix(":")
    if named:
        return named
    _, _, linked = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    return linked or "/".join(dict.fromkeys(time.tzname))
