"""How a run of bluesky is made to record a new configuration, and where its versions cannot: pure.

bluesky reads a device's configuration when the device is first read, keeps it, and describes streams by
what it keeps. Up to 1.14 it keeps it once for the run: a later stream is described by what is old,
unless the device was configured in between. From 1.15 on it keeps it for each stream; when a device is
configured it describes anew every stream that has it, out of what it keeps for the ONE stream that was
last begun, and ends in a KeyError where another stream has a device which that one does not have.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import bluesky

from ponikeeper.errors import RecordError

Streams = Mapping[str, Collection[Any]]
"""What is read in each stream of a run."""

KEEPS_PER_STREAM = tuple(int(part) for part in bluesky.__version__.split(".")[:2]) >= (1, 15)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What to do so that a run describes its streams anew.

    Parameters
    ----------
    begin
        The stream to begin first, and to drop again; None where that is not needed.
    configure
        Which devices to configure then.
    """

    begin: str | None
    configure: Collection[Any]


def renewal(
    stale: Collection[Any], guarded: Collection[Any], streams: Streams, stream: str, *, per_stream: bool
) -> Renewal:
    """Say how streams are described anew with the configuration of some devices.

    Parameters
    ----------
    stale
        The devices whose configuration has changed.
    guarded
        All whose configuration may have.
    stream
        In which an event comes next.
    per_stream
        Whether this bluesky keeps configurations for each stream.

    Raises
    ------
    RecordError
        This bluesky cannot.
    """
    if not per_stream:
        return Renewal(None, stale)
    touched = {name: objects for name, objects in streams.items() if any(each in objects for each in stale)}
    together = [each for objects in touched.values() for each in objects]
    named = sorted(streams, key=lambda name: name != stream)  # what an open stream has kept is renewed as well
    begin = next((name for name in named if all(each in streams[name] for each in together)), None)
    if begin is None:
        told = "; ".join(f"{name} {', '.join(each.name for each in objects)}" for name, objects in touched.items())
        raise RecordError(
            f"bluesky {bluesky.__version__} cannot record a new geometry in a run whose streams read different "
            f"devices ({told}): take one run for each geometry, or read all of them in one of the streams"
        )
    # of the others it may keep, for that stream, what was before a change that another stream recorded
    return Renewal(begin, [each for each in guarded if each in together] if len(touched) > 1 else stale)
