"""Units of linked PVs on a live IOC: EPICS base's records, a server without the field EGU, changes while it runs."""

import aioca
import pytest

import speak
from base_ioc import SoftIoc
from live import wait_for
from ponikeeper.protocol import parse_links
from speak import commit_text, get, put, run, snapshot

BASE = "UNITS:"
PREFIX = "{Det:1}Calib:"
TOLERANCE = {"tolerance": 0.05, "kind": "motor"}


def record(name, value, units):
    unit = f'field(EGU, "{units}") ' if units else ""
    return f'record(ao, "{BASE}{name}") {{field(VAL, "{value}") field(PINI, "YES") {unit}}}\n'


VALUES = {
    "z": (1000050.0, "um"),
    "theta": (0.01, "rad"),
    "energy": (74690.0, "ev"),
    "blank": (12.5, ""),
    "own": (3.0, "sample_z_mm"),
    "binning": (2, "px"),
}
"""Value and units of each record at the start of a test."""

RECORDS = "".join(record(name, *both) for name, both in VALUES.items())


def link(name, **keys):
    lines = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(["[[detector.link]]", f'name = "{name}"', *lines, ""])


@pytest.fixture(scope="module")
def port(make_ioc_for_module):
    """Return a port that the clients of this session search."""
    return make_ioc_for_module().port


@pytest.fixture(scope="module")
def servers():
    """EPICS base's own server if it runs: clients search for a restarted one with longer and longer pauses."""
    running = []
    yield running
    for server in running:
        server.__exit__()


@pytest.fixture
def base(servers, port, tmp_path):
    """Return EPICS base's own server, with the values and units of every test's start."""
    if not servers:
        servers.append(SoftIoc(BASE, port, tmp_path, RECORDS))
    for name, (value, units) in VALUES.items():
        assert put(f"{BASE}{name}.EGU", units) is None
        assert put(f"{BASE}{name}", value) is None
    return servers[0]


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors, port):
    links = (
        link("z", pv=f"{BASE}z.VAL", units="mm", **TOLERANCE)
        + link("theta", pv=f"{BASE}theta", units="deg", **TOLERANCE)
        + link("energy", pv=f"{BASE}energy", units="keV", kind="energy", tolerance=1e-4)
        + link("blank", pv=f"{BASE}blank", units="mm", **TOLERANCE)
        + link("own", pv=f"{BASE}own", units="mm", egu="sample_z_mm", **TOLERANCE)
        + link("binning", pv=f"{BASE}binning", kind="equal")
        + link("bare", pv=motors.pv("Bare"), units="mm", **TOLERANCE)
    )
    more = {PREFIX: f"settle = 0.1\n{links}"}
    return make_ioc_for_module(detectors=(PREFIX,), more=more, other_ports=(motors.port, port)).start()


def links(prefix):
    text = run(aioca.caget(f"{prefix}Links_RBV", datatype=aioca.DBR_CHAR_STR, timeout=speak.TIMEOUT))
    return {link.name: link for link in parse_links(str(text))}


@pytest.fixture
def valid(linked, base):
    """Wait until every link is known, and commit there."""
    try:
        wait_for(lambda: not any(link.unknown_because for link in links(linked.prefix).values()), 15.0)
    except TimeoutError as error:
        raise AssertionError(links(linked.prefix)) from error
    assert speak.request(linked.prefix, commit_text(f"at {base.pid}", position="now"))["outcome"] == "accepted"
    wait_for(lambda: snapshot(linked.prefix)["status"] == "VALID")
    return linked.prefix


def test_values_are_in_the_units_of_the_configuration(valid):
    values = {name: link.value for name, link in links(valid).items()}
    assert values == {
        "z": 1000.05, "theta": pytest.approx(0.5729577951308232), "energy": 74.69, "blank": 12.5, "own": 3.0,
        "binning": 2.0, "bare": 700.0,
    }  # fmt: skip
    assert snapshot(valid)["position"]["z"] == {"value": 1000.05, "units": "mm"}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("z", "um", "counts"), ("energy", "ev", "angstrom"), ("own", "sample_z_mm", "sample_z"), ("blank", "", "deg")],
)
def test_units_that_change_while_the_ioc_runs_are_noticed(valid, name, before, after):
    pv, units = f"{BASE}{name}.EGU", links(valid)[name].units
    value = links(valid)[name].value
    assert put(pv, after) is None
    wait_for(lambda: snapshot(valid)["status"] == "UNKNOWN")
    reason = get(f"{valid}Reason_RBV")
    assert f'its units are "{after}", expected {units}: correct units of the link, or add egu = "{after}"' in reason
    assert snapshot(valid)["findings"] == [{"status": "UNKNOWN", "link": name}]
    wait_for(lambda: links(valid)[name].value is None)
    assert put(pv, before) is None
    wait_for(lambda: snapshot(valid)["status"] == "VALID")
    wait_for(lambda: links(valid)[name].value == value)


def test_units_that_can_be_converted_move_the_link(valid):
    assert put(f"{BASE}z.EGU", "nm") is None
    wait_for(lambda: snapshot(valid)["status"] == "MOVED")
    wait_for(lambda: links(valid)["z"].value == 1.00005)
    assert put(f"{BASE}z.EGU", "um") is None
    wait_for(lambda: snapshot(valid)["status"] == "VALID")


def test_units_of_an_equal_link_are_not_checked(valid):
    assert put(f"{BASE}binning.EGU", "furlong") is None
    assert put(f"{BASE}z", 1000060.0) is None
    wait_for(lambda: links(valid)["z"].value == 1000.06)  # what came before that has arrived, too
    assert snapshot(valid)["status"] == "VALID"


def test_recorded_position_holds_after_the_configuration_has_other_units(make_ioc, port, base):
    """In mm, deg and keV before the restart, in um, mrad and eV after it."""
    before = (
        link("z", pv=f"{BASE}z", units="mm", kind="motor", tolerance=0.05)
        + link("theta", pv=f"{BASE}theta", units="deg", kind="motor", tolerance=0.01)
        + link("energy", pv=f"{BASE}energy", units="keV", kind="energy", tolerance=1e-4)
    )
    ioc = make_ioc(detectors=(PREFIX,), more={PREFIX: f"settle = 0.1\n{before}"}, other_ports=(port,)).start()
    wait_for(lambda: not any(each.unknown_because for each in links(ioc.prefix).values()))
    assert speak.request(ioc.prefix, commit_text(f"in mm {base.pid}", position="now"))["outcome"] == "accepted"
    wait_for(lambda: snapshot(ioc.prefix)["status"] == "VALID")
    position = snapshot(ioc.prefix)["position"]
    ioc.stop()
    text = ioc.config.read_text()
    for old, new in (('"mm"', '"um"'), ("0.05", "50.0"), ('"deg"', '"mrad"'), ("0.01", "0.17"), ('"keV"', '"eV"')):
        text = text.replace(f"= {old}\n", f"= {new}\n")
    ioc.config.write_text(text)
    ioc.start()
    wait_for(lambda: snapshot(ioc.prefix)["status"] == "VALID")
    found = {name: (each.value, each.calibrated, each.units) for name, each in links(ioc.prefix).items()}
    assert found == {
        "z": (1000050.0, 1000050.0, "um"),
        "theta": (pytest.approx(10.0), pytest.approx(10.0), "mrad"),
        "energy": (74690.0, 74690.0, "eV"),
    }
    assert snapshot(ioc.prefix)["position"] == position
    assert put(f"{BASE}z", 1000101.0) is None
    wait_for(lambda: snapshot(ioc.prefix)["status"] == "MOVED")
    assert "is at 1000101 um, calibrated at 1000050 um" in get(f"{ioc.prefix}Reason_RBV")


class Updates:
    """Records every update of the links and of the status."""

    def __init__(self, prefix):
        self.links, self.statuses = [], []

        async def subscribe():
            text = {"datatype": aioca.DBR_CHAR_STR, "all_updates": True}
            return [
                aioca.camonitor(f"{prefix}Links_RBV", lambda text: self.links.append(parse_links(str(text))), **text),
                aioca.camonitor(
                    f"{prefix}Status_RBV", lambda status: self.statuses.append(int(status)), all_updates=True
                ),
            ]

        self._subscriptions = run(subscribe())
        wait_for(lambda: self.links and self.statuses)

    def close(self):
        async def close():
            for subscription in self._subscriptions:
                subscription.close()

        run(close())


@pytest.mark.parametrize("units", ["mm", "counts", "m"])
def test_restart_in_other_units_is_never_valid_not_even_for_a_moment(valid, port, servers, tmp_path, units):
    updates = Updates(valid)
    try:
        servers.pop().__exit__()
        wait_for(lambda: not updates.links[-1][0].connected, 15.0)
        seen = len(updates.statuses)
        folder = tmp_path / "again"
        folder.mkdir()
        with SoftIoc(BASE, port, folder, RECORDS.replace('"um"', f'"{units}"')):
            factor = {"mm": 1.0, "m": 1000.0}.get(units)
            value = factor and 1000050.0 * factor
            wait_for(lambda: updates.links[-1][0].connected and updates.links[-1][0].value == value, 15.0)
            wait_for(lambda: snapshot(valid)["status"] == ("UNKNOWN" if factor is None else "MOVED"), 15.0)
            wait_for(lambda: all(link.connected for link in updates.links[-1]), 60.0)
    finally:
        updates.close()
    assert 1 not in updates.statuses[seen:]
    after = [rows[0] for rows in updates.links if rows[0].connected and rows[0].value != 1000.05]
    assert {link.value for link in after} <= {None, value}


def test_check_reports_value_units_and_alarm_of_every_link(linked, base, call, motors, port):
    wait_for(lambda: links(linked.prefix)["z"].connected)
    done = call("check", linked.config, "--connect")
    head = f"  {linked.prefix}  "
    assert done.stdout.splitlines()[-7:] == [
        f"{head}z  {BASE}z.VAL  1000.05 mm (the PV reports 1000050 um), NO_ALARM",
        f"{head}theta  {BASE}theta  0.5729577951 deg (the PV reports 0.01 rad), NO_ALARM",
        f"{head}energy  {BASE}energy  74.69 keV (the PV reports 74690 ev), NO_ALARM",
        f"{head}blank  {BASE}blank  12.5 mm (the PV reports no units: mm is taken from the configuration), NO_ALARM",
        f"{head}own  {BASE}own  3 mm (the PV reports 3 sample_z_mm), NO_ALARM",
        f"{head}binning  {BASE}binning  2, NO_ALARM",
        f"{head}bare  {motors.pv('Bare')}  700 mm (the PV reports 700000 microme), NO_ALARM",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_check_ends_with_the_worst_that_it_found(linked, base, call):
    wait_for(lambda: links(linked.prefix)["z"].connected)
    assert put(f"{BASE}z.HIHI", 1.0) is None
    assert put(f"{BASE}z.HHSV", 3) is None
    assert put(f"{BASE}z", 1000050.0) is None
    done = call("check", linked.config, "--connect")
    assert (done.returncode, done.stderr) == (
        1,
        f"  {linked.prefix}  z  {BASE}z.VAL: its alarm is INVALID: expected a finite number\n",
    )
    assert put(f"{BASE}theta.EGU", "mm") is None
    done = call("check", linked.config, "--connect")
    assert done.returncode == 2
    assert f'theta  {BASE}theta: its units are "mm", expected deg: correct units of the link' in done.stderr
    base.__exit__()
    done = call("check", linked.config, "--connect", "--timeout", "4")
    assert done.returncode == 3
    assert f"z  {BASE}z.VAL: does not answer within 4 s" in done.stderr
    assert "bare" in done.stdout
