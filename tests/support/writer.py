"""A client that commits whole geometries as fast as it can: python writer.py PREFIX request|poni FIRST.

Each value shows to which geometry it belongs: `whole(number)` makes one, `number_of` finds its number.
"""

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import aioca

from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Commit, request_text
from ponikeeper.text import strictjson


def whole(number: int) -> Geometry:
    """Make the geometry of a number, in which every value contains the number."""
    step = number * 1e-6
    return Geometry(
        dist=0.1 + step, poni1=0.2 + step, poni2=0.3 + step, rot1=1e-3 + step, rot2=2e-3 + step, rot3=3e-3 + step,
        pixel1=1e-4 + step * 1e-4, pixel2=2e-4 + step * 1e-4, wavelength=1e-11 + step * 1e-10,
        detector=f"Panel{number}", detector_config={"max_shape": [number + 1, 2 * number + 1]},
    )  # fmt: skip


def number_of(detector: str) -> int:
    """Find the number of a geometry by its detector's name."""
    return int(detector.removeprefix("Panel"))


def is_mixed(values: Mapping[str, Any]) -> bool:
    """Check whether values, by plain names, are not those of one geometry."""
    found = {name: values[name] for name in NAMES} | {"detector_config": strictjson.loads(values["detector_config"])}
    return found != whole(number_of(values["detector"])).as_dict()


@contextlib.contextmanager
def writing(prefix: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Run two writers for the duration of the block: one by Request, the other by Poni."""
    writers = [
        subprocess.Popen([sys.executable, __file__, prefix, how, first], stdout=subprocess.PIPE, text=True)
        for how, first in (("request", "1"), ("poni", "2"))
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        yield writers
        assert [writer.poll() for writer in writers] == [None, None], "a writer ended before its readers"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            if writer.stdout is not None:
                writer.stdout.close()


async def write(prefix: str, how: str, first: int) -> None:
    """Commit one geometry after the other, without end; every second number, from the first on."""
    print("ready", flush=True)
    for number in itertools.count(first, 2):
        geometry = whole(number)
        text = poni.write(geometry)
        if how == "request":
            values = {name: geometry.as_dict()[name] for name in (*NAMES, "detector_config")}
            text = request_text(Commit(values, {"method": "gui"}, request=f"writer-{number}"))
        pv = prefix + how.capitalize()
        await aioca.caput(pv, text, datatype=aioca.DBR_CHAR_STR, wait=True, timeout=30)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3])))
