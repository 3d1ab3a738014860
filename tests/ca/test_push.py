"""The active geometry is in the PVs of the detector's own driver: written when it applies, and while it is idle.

The driver is a soft IOC in a process of its own; ADSimDetector has no such PVs.
"""

import os
import subprocess
import sys

import pytest

import speak
from base_ioc import SoftIoc
from live import wait_for
from ponikeeper.geometry import Geometry
from speak import GEOMETRY, commit_text, get, monitoring, put, request

CENTRE = Geometry(**GEOMETRY).fit2d

DRIVER = """
import sys
import caproto as ca
from caproto.asyncio.server import Context
import asyncio, logging

logging.getLogger("caproto").setLevel(logging.CRITICAL)
name, distance_units = sys.argv[1:]
channels = {suffix: ca.ChannelInteger(value=0) for suffix in ("Acquire", "Puts", "Hold")}

class Setpoint(ca.ChannelDouble):
    def __init__(self, suffix, **options):
        self.suffix = suffix
        super().__init__(value=0.0, **options)

    async def write(self, value, **options):
        if self.suffix == "Denied":
            raise ValueError("denied")
        number = value[0] if hasattr(value, "__len__") else value
        await channels["Puts"].write(channels["Puts"].value + 1)
        while channels["Hold"].value:
            await asyncio.sleep(0.01)
        await super().write(value, **options)
        if self.suffix != "Stuck":
            await channels[self.suffix + "_RBV"].write(number)

own = {"BeamX": "pixels", "BeamY": "pixels", "DetDist": distance_units, "Wavelength": "Angstroms"}
for suffix, units in own.items():
    channels[suffix] = Setpoint(suffix, units=units)
    channels[suffix + "_RBV"] = ca.ChannelDouble(value=0.0, units=units)
    channels[suffix + "_RBV.EGU"] = ca.ChannelString(value=units)
channels["Acquire_RBV"] = channels["Acquire"]
for suffix in ("Stuck", "Denied"):
    channels |= {suffix: Setpoint(suffix), suffix + "_RBV": ca.ChannelDouble(value=1.0)}

async def ready(_):
    print("READY", flush=True)

async def serve():
    await Context({name + suffix: channel for suffix, channel in channels.items()}).run(startup_hook=ready)

asyncio.run(serve())
"""


class Driver:
    """The driver of a detector."""

    def __init__(self, port, name):
        self.port, self.name, self.process = port, name, None

    def start(self, distance_units="m"):
        environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(self.port), "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO"}
        environment["EPICS_CAS_BEACON_ADDR_LIST"] = f"127.0.0.1:{environment['EPICS_CA_REPEATER_PORT']}"
        command = [sys.executable, "-c", DRIVER, self.name, distance_units]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"READY\n"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def get(self, suffix):
        return get(self.name + suffix)

    def put(self, suffix, value):
        assert put(self.name + suffix, value) is None


@pytest.fixture
def driver(session_port):
    driver = Driver(session_port, f"D{session_port}:")
    yield driver
    driver.kill()


@pytest.fixture
def prefix(make_ioc, driver):
    """Return the prefix of a detector whose driver is an Eiger's; one PV more never takes a value."""
    push = f'[[detector.push]]\ndriver = "eiger"\nprefix = "{driver.name}"\n'
    ioc = make_ioc(detectors=("{Det:1}Calib:",), more={"{Det:1}Calib:": push}, other_ports=(driver.port,)).start()
    return ioc.prefix


def commit(prefix, name, **geometry):
    assert request(prefix, commit_text(name, geometry={**GEOMETRY, **geometry}))["outcome"] == "accepted"


def until(prefix, outcome, message=""):
    def shows():
        states = ("Off", "OK", "Waiting", "Failed")
        return states[int(get(f"{prefix}Push:Status_RBV"))] == outcome and message in get(f"{prefix}Push:Message_RBV")

    wait_for(shows, what=f"{outcome}: {message}")


def test_geometry_is_written_after_each_activation_and_read_back(prefix, driver):
    driver.start()
    until(prefix, "Waiting", "the status is UNSET: nothing is written until the geometry applies")
    for name, dist in (("first", 0.2345), ("second", 0.3)):
        commit(prefix, name, dist=dist)
        until(prefix, "OK", "the detector has the values of activation")
        centre = Geometry(**{**GEOMETRY, "dist": dist}).fit2d
        written = [driver.get(f"{suffix}_RBV") for suffix in ("BeamX", "BeamY", "DetDist")]
        assert written == pytest.approx([centre.beam_x, centre.beam_y, centre.direct_dist / 1e3], rel=1e-12)
    assert driver.get("Wavelength_RBV") == 0.0, "it is not listed"
    assert driver.get("Puts") == 6


def test_nothing_is_written_while_the_detector_acquires(prefix, driver):
    driver.start()
    driver.put("Acquire", 1)
    with monitoring(f"{driver.name}Puts") as (monitor,):
        commit(prefix, "first")
        until(prefix, "Waiting", "the detector acquires")
        assert [int(value) for value in monitor.values] == [0]
        driver.put("Acquire", 0)
        until(prefix, "OK")
    assert driver.get("BeamX_RBV") == CENTRE.beam_x


def test_geometry_that_does_not_apply_is_not_written(prefix, driver):
    commit(prefix, "first")
    text = '{"v": 1, "request": "r", "op": "retract", "revision": 1, "reason": "wrong calibrant"}'
    assert request(prefix, text)["outcome"] == "accepted"
    driver.start()
    until(prefix, "Waiting", "the status is RETRACTED: nothing is written until the geometry applies")
    assert driver.get("Puts") == 0
    commit(prefix, "second")
    until(prefix, "OK")


def test_what_is_changed_at_the_detector_is_an_alarm_and_a_restarted_driver_gets_the_values_again(prefix, driver):
    driver.start()
    commit(prefix, "first")
    until(prefix, "OK")
    driver.put("BeamX", 5.0)
    until(prefix, "Failed", f"{driver.name}BeamX_RBV is 5 px, the active geometry has ")
    assert int(speak.read([f"{prefix}Push:Status_RBV"])[0].severity) == 2
    assert int(speak.read([f"{prefix}Status_RBV"])[0].severity) == 0, "the geometry is not the detector's fault"
    assert put(f"{prefix}Activate", 1) is None, "it is active already"
    until(prefix, "OK")
    assert driver.get("BeamX_RBV") == CENTRE.beam_x
    driver.kill()
    until(prefix, "Failed", "is not connected")
    driver.start()
    speak.forget()
    until(prefix, "OK")
    assert driver.get("BeamX_RBV") == CENTRE.beam_x


def hold_first_put(prefix, driver):
    """Commit, and return when the driver has received the first put, which it does not complete."""
    driver.start()
    driver.put("Hold", 1)
    commit(prefix, "first")
    wait_for(lambda: driver.get("Puts") == 1)


def test_geometry_that_ceases_to_apply_while_it_is_written_is_not_written_on(prefix, driver):
    hold_first_put(prefix, driver)
    text = '{"v": 1, "request": "r", "op": "retract", "revision": 1, "reason": "wrong calibrant"}'
    assert request(prefix, text)["outcome"] == "accepted"
    driver.put("Hold", 0)
    until(prefix, "Waiting", "the status is RETRACTED")
    wait_for(lambda: driver.get("BeamX_RBV") == CENTRE.beam_x)
    commit(prefix, "second", dist=0.3)
    until(prefix, "OK")
    assert driver.get("Puts") == 1 + 3, "of the first geometry only the value that was on its way"


def test_other_units_are_an_alarm_and_nothing_is_written(prefix, driver):
    driver.start(distance_units="mm")
    commit(prefix, "first")
    message = f"{driver.name}DetDist_RBV is in mm, the configuration says m: nothing is written"
    until(prefix, "Failed", message)
    assert driver.get("Puts") == 0
    assert request(prefix, commit_text("second"))["outcome"] == "accepted", "an alarm, not a refusal"


@pytest.mark.parametrize(
    ("pv", "message"),
    [
        ("Stuck", "Stuck_RBV is 1, the active geometry has 3: the detector did not accept it, or it was changed there"),
        ("Denied", "Denied cannot be written: "),
    ],
)
def test_pv_that_does_not_take_the_value_is_an_alarm(make_ioc, driver, pv, message):
    push = (
        f'[[detector.push]]\nvalue = "orientation"\npv = "{driver.name}{pv}"\nreadback = "{driver.name}{pv}_RBV"\n'
        f'acquiring = "{driver.name}Acquire_RBV"\n'
    )
    driver.start()
    ioc = make_ioc(detectors=("{Det:1}Calib:",), more={"{Det:1}Calib:": push}, other_ports=(driver.port,)).start()
    commit(ioc.prefix, "first")
    until(ioc.prefix, "Failed", driver.name + message)


RECORDS = """
record(ao, "{name}BeamX") {{ field(EGU, "pixels") }}
record(ao, "{name}BeamY") {{ field(EGU, "pixels") }}
record(ao, "{name}DetDist") {{ field(EGU, "mm") field(PREC, "3") }}
record(bo, "{name}Acquire") {{
    field(ZNAM, "Done") field(ONAM, "Acquire") field(FLNK, "{name}Acquire_RBV") field(PINI, "YES")
}}
record(bi, "{name}Acquire_RBV") {{ field(ZNAM, "Done") field(ONAM, "Acquiring") field(INP, "{name}Acquire") }}
"""
"""Of ADPilatus: without readbacks, and undefined until they are put."""


def test_records_of_epics_base_that_were_never_put(make_ioc, session_port, tmp_path):
    name = f"D{session_port}:"
    push = f'[[detector.push]]\ndriver = "pilatus"\nprefix = "{name}"\n'
    with SoftIoc(name, session_port, tmp_path, RECORDS.format(name=name)):
        ioc = make_ioc(detectors=("{Det:1}Calib:",), more={"{Det:1}Calib:": push}, other_ports=(session_port,)).start()
        put(f"{name}Acquire", 1)
        commit(ioc.prefix, "first")
        until(ioc.prefix, "Waiting", f"the detector acquires ({name}Acquire_RBV)")
        put(f"{name}Acquire", 0)
        until(ioc.prefix, "OK")
        written = [float(get(name + suffix)) for suffix in ("BeamX", "BeamY", "DetDist")]
        assert written == [CENTRE.beam_x, CENTRE.beam_y, pytest.approx(CENTRE.direct_dist, rel=1e-12)]


OTHER_KINDS = (
    RECORDS
    + """
record(waveform, "{name}Array") {{ field(FTVL, "DOUBLE") field(NELM, "5") field(INP, [1, 2, 3]) }}
"""
)


def test_record_that_has_no_number_is_refused_by_name_and_one_of_whole_numbers_gets_it_rounded(
    make_ioc, call, session_port, tmp_path
):
    name = f"D{session_port}:"
    refused = {"State": "an enum", "Word": "a text", "Array": "an array"}
    pushes = {
        f"{{Det:{pv}}}Calib:": f'[[detector.push]]\nvalue = "beam_x"\nunits = "px"\npv = "{name}{pv}"\n'
        f'acquiring = "{name}Acquire_RBV"\n'
        for pv in (*refused, "Whole")
    }
    with SoftIoc(name, session_port, tmp_path, OTHER_KINDS.format(name=name)):
        ioc = make_ioc(detectors=tuple(pushes), more=pushes, other_ports=(session_port,))
        checked = call("check", ioc.config, "--connect")
        assert checked.returncode == 2
        ioc.start()
        before = [str(get(name + pv)) for pv in refused]
        for prefix, (pv, kind) in zip(ioc.prefixes, refused.items(), strict=False):
            commit(prefix, "first")
            problem = f"{name}{pv} is {kind}: expected a PV with one number: nothing is written"
            until(prefix, "Failed", problem)
            assert f"  {prefix}  push beam_x  {name}{pv}: {problem}" in checked.stderr
        commit(ioc.prefixes[-1], "first")
        until(ioc.prefixes[-1], "OK")
        assert int(get(f"{name}Whole")) == round(CENTRE.beam_x) != CENTRE.beam_x
        assert [str(get(name + pv)) for pv in refused] == before


def test_check_reports_what_would_be_written_where(make_ioc, driver, call):
    push = f'[[detector.push]]\ndriver = "eiger"\nprefix = "{driver.name}"\nvalues = ["beam_x", "distance"]\n'
    ioc = make_ioc(detectors=("{Det:1}Calib:",), more={"{Det:1}Calib:": push}, other_ports=(driver.port,))
    absent = call("check", ioc.config, "--connect", "--timeout", "1")
    assert absent.returncode == 3
    assert f"push distance  {driver.name}DetDist_RBV: does not answer within 1 s" in absent.stderr
    driver.start(distance_units="mm")
    other = call("check", ioc.config, "--connect")
    assert other.returncode == 2
    assert other.stdout.splitlines()[-2:] == [
        f"  {ioc.prefix}  push beam_x  {driver.name}BeamX_RBV  0 px, NO_ALARM",
        f"  {ioc.prefix}  push  acquiring = {driver.name}Acquire_RBV  0, NO_ALARM",
    ]
    problem = f"{driver.name}DetDist_RBV is in mm, the configuration says m: nothing is written"
    assert f"  {ioc.prefix}  push distance  {driver.name}DetDist_RBV: {problem}" in other.stderr
