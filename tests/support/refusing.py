"""Checks that every refused put shares."""

from collections.abc import Callable
from typing import Any

from caproto import DBR_TYPES, ChannelType, native_types

from live import wait_for
from speak import counters, get, monitoring, results


def refused(prefix: str, suffix: str, action: Callable[[], Any]) -> dict[str, Any]:
    """Run an action that the IOC must refuse and that must change nothing; return its result."""
    before, (accepted, rejected) = get(f"{prefix}Snapshot_RBV"), counters(prefix)
    with monitoring(prefix + suffix) as (monitor,):
        shown, count = str(monitor.values[-1]), len(monitor.values)
        assert action(), "the put was not refused"
        wait_for(lambda: len(monitor.values) > count, what=f"{suffix} to be put back")
        assert str(monitor.values[-1]) == shown
    assert get(f"{prefix}Snapshot_RBV") == before
    assert counters(prefix) == (accepted, rejected + 1)
    result = results(prefix)[0]
    assert (result["outcome"], result["revision"], result["serial"]) == ("refused", None, None)
    assert get(f"{prefix}Message_RBV") == "refused: " + "; ".join(result["errors"])
    return result


def said(result: dict[str, Any]) -> str:
    """Return all reasons of a result as one text."""
    return "; ".join(result["errors"])


def forged(data_type: ChannelType) -> Any:
    """Make the metadata that a put of a type carries, with limits, units and alarm of the sender's own."""
    if data_type in native_types or data_type in (ChannelType.PUT_ACKT, ChannelType.PUT_ACKS):
        return None
    metadata = DBR_TYPES[data_type]()
    for name, value in {"upper_ctrl_limit": 100, "units": b"km", "severity": 2, "status": 3}.items():
        if hasattr(metadata, name):
            setattr(metadata, name, value)
    return metadata
