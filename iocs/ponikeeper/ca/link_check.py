"""The linked PVs as they are now, read once: for a check of the configuration before the first start."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from ponikeeper.ca.link_monitors import LinkMonitors
from ponikeeper.config import Link
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.protocol.pushed_values import Target


async def read_samples(links: Sequence[Link], timeout: float, targets: Sequence[Target] = ()) -> dict[str, Sample]:
    """Read the PVs of links, with their units and alarms, in the way in which the IOC reads them.

    Parameters
    ----------
    links
        The links of the configuration.
    targets
        The PVs of the detectors' drivers that are written: they are read, too.
    timeout
        How long to wait for those that do not answer (s).

    Returns
    -------
    dict
        By the name of each PV; one that does not answer is not connected.
    """
    states = LinkStates(links)
    pvs = states.pvs | {pv for target in targets for pv in target.pvs}
    with_units = states.pvs_with_units | {target.readback for target in targets if target.units}
    samples = {pv: Sample() for pv in pvs}
    complete = asyncio.Event()

    def update(pv: str, sample: Sample) -> None:
        samples[pv] = sample
        if all(each.connected and (pv not in with_units or each.egu) for pv, each in samples.items()):
            complete.set()

    monitors = LinkMonitors(pvs, with_units, update)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await complete.wait()
    finally:
        monitors.close()
    return samples
