"""`Alive_RBV`: the present time, once a second by monitor and with each get."""

import itertools
import time

import pytest

from live import wait_for
from ponikeeper.protocol.heartbeat import PERIOD
from speak import get, info, monitoring


def test_each_get_reads_the_clock(farm):
    pv = f"{farm.prefix}Alive_RBV"
    before = time.time()
    values = [get(pv) for _ in range(5)]
    assert values == sorted(set(values))
    assert before <= values[0]
    assert values[-1] <= time.time()


def test_monitor_delivers_it_once_a_second_also_while_others_get_it(farm):
    pv = f"{farm.prefix}Alive_RBV"
    with monitoring(pv) as (beats,):
        wait_for(lambda: [get(pv), len(beats.values) >= 4][1])
    times = [float(value) for value in beats.values[1:4]]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(step > PERIOD / 2 for step in steps)
    assert steps == pytest.approx([PERIOD] * 2, abs=0.6)


def test_every_detector_has_its_own(farm):
    assert len({get(f"{prefix}Alive_RBV") for prefix in farm.prefixes[:3]}) == 3


def test_it_has_units(farm):
    assert info([f"{farm.prefix}Alive_RBV"])[0].units == "s"
