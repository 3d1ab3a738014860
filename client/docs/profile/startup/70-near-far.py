"""The plans of the beamline, which know nothing of calibrations."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp

DISTANCES = {"near": 400.0, "far": 1000.0}


def near_far(detectors, num=1, md=None):
    """Record a run at each distance."""
    for position, place in DISTANCES.items():
        yield from bps.mv(Det_1_Z, place)
        yield from bp.count([*detectors, Det_1_Z], num, md={"position": position, **(md or {})})


def near_far_in_one_run(detectors, num=1, md=None):
    """Record one run, with a stream for each distance."""

    @bpp.stage_decorator([*detectors, Det_1_Z])
    @bpp.run_decorator(md={"plan_name": "near_far_in_one_run", **(md or {})})
    def run():
        for position, place in DISTANCES.items():
            yield from bps.mv(Det_1_Z, place)
            for _ in range(num):
                yield from bps.trigger_and_read([*detectors, Det_1_Z], name=position)

    return (yield from run())
