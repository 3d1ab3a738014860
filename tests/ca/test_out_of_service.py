"""Links out of service on a live IOC: PVs, command line, status, position and restart; the severity of a status."""

import json

import pytest

from live import wait_for
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history import history_file
from ponikeeper.protocol import parse_links
from speak import GEOMETRY, commit_text, get, put, read, request, results, snapshot

PREFIX = "{Det:1}Calib:"
WHY = "controller is being repaired"


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    links = motors.link("z", "Z:RBV", moving="Z:MOVN") + motors.link(
        "energy", "Energy", kind="energy", units="keV", tolerance=1e-4
    )
    more = {PREFIX: f'settle = 0.1\nseverity = {{MOVING = "NONE", MOVED = "MINOR"}}\n{links}'}
    return make_ioc_for_module(detectors=(PREFIX,), more=more, other_ports=(motors.port,)).start()


def write_poni(folder):
    path = folder / "near.poni"
    path.write_text(poni.write(Geometry.parse(GEOMETRY)))
    return path


def until(prefix, status):
    wait_for(lambda: snapshot(prefix)["status"] == status)
    return snapshot(prefix)


def at_rest(links):
    return links[0].value == 1000.0 and not any(link.unknown_because or link.out_of_service for link in links)


@pytest.fixture
def valid(linked, motors):
    """Start with every link in service, where the geometry was calibrated."""
    prefix = linked.prefix
    for link in ("z", "energy"):
        put(f"{prefix}InService", link)
    for suffix, value in (("Z:RBV", 1000.0), ("Z:MOVN", 0)):
        assert put(motors.pv(suffix), value) is None
    wait_for(lambda: at_rest(parse_links(get(f"{prefix}Links_RBV"))))
    commit = commit_text(f"valid {get(f'{prefix}Serial_RBV')}", position="now", label="near")
    assert request(prefix, commit)["outcome"] == "accepted"
    until(prefix, "VALID")
    return prefix


def test_link_out_of_service_does_not_count_and_everyone_is_told_why(valid, motors):
    put(motors.pv("Z:RBV"), 1500.0)
    until(valid, "MOVED")
    assert put(f"{valid}OutOfService", f"z: {WHY}") is None
    found = until(valid, "VALID")
    assert found["reason"].startswith(f"z ({motors.pv('Z:RBV')}) is out of service since 20")
    assert found["reason"].endswith(f": {WHY}")
    assert found["findings"] == [{"status": "VALID", "link": "z"}]
    z, energy = found["link_states"]
    assert z["out_of_service"].endswith(f": {WHY}")
    assert energy["out_of_service"] is None
    assert get(f"{valid}OutOfService_RBV") == f"z {z['out_of_service']}"
    assert get(f"{valid}Advice_RBV") == ""
    wait_for(lambda: " out of service" in get(f"{valid}Links:Table_RBV").splitlines()[1])
    assert (get(f"{valid}OutOfService"), get(f"{valid}InService")) == ("", "")


def test_position_recorded_now_lacks_the_link_until_it_is_recorded_in_service(valid, motors):
    assert put(f"{valid}OutOfService", f"z: {WHY}") is None
    assert put(f"{valid}RecordPosition", 1) is None
    found = until(valid, "VALID")
    assert found["position"].keys() == {"energy"}
    assert put(f"{valid}InService", "z") is None
    found = until(valid, "UNKNOWN")
    assert f"z ({motors.pv('Z:RBV')}) was not recorded for revision {found['revision']}" in found["reason"]
    assert put(f"{valid}RecordPosition", 1) is None
    assert until(valid, "VALID")["position"].keys() == {"z", "energy"}
    assert get(f"{valid}OutOfService_RBV") == ""


def test_all_links_out_of_service_means_unwatched(valid, call, tmp_path):
    assert put(f"{valid}OutOfService", f"z: {WHY}") is None
    assert put(f"{valid}OutOfService", "energy: shutdown") is None
    reason = until(valid, "UNWATCHED")["reason"]
    assert reason.startswith("every link is out of service: nothing checks this geometry; ")
    assert get(f"{valid}OutOfService_RBV").count("\n") == 1
    done = call("put", valid, write_poni(tmp_path), "--here")
    assert done.stdout.splitlines()[1] == "position: not recorded, since every link is out of service"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z", '"reason": "" is not allowed: expected why, a text in one line of 1 to 400 bytes'),
        (": because", '"link": "" is not allowed: expected the name of a link'),
        ("y: because", 'there is no link "y": expected one of z energy'),
        ("z: " + "x" * 401, "is not allowed: expected why"),
    ],
)
def test_put_without_a_link_or_a_reason_is_refused_with_an_example(valid, text, message):
    assert put(f"{valid}OutOfService", text) is not None
    (error,) = results(valid)[0]["errors"]
    assert message in error
    assert snapshot(valid)["status"] == "VALID"


def test_command_line_changes_it_and_the_exported_history_has_it(valid, call, linked, tmp_path):
    done = call("out-of-service", valid, "z", "--reason", WHY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{valid} link z is out of service: nothing checks it until ponikeeper in-service")
    again = call("in-service", valid, "z", "--reason", "repaired", "--json")
    assert json.loads(again.stdout)["op"] == "in_service"
    refused = call("in-service", valid, "z")
    assert (refused.returncode, refused.stderr) == (1, "link z is in service: nothing to change\n")
    file = tmp_path / "one.jsonl"
    assert call("export", "history", valid, "-o", file).returncode == 0
    history = history_file.read(file.read_bytes())
    assert [(change.kind, change.link, change.reason) for change in history.service[-2:]] == [
        ("out_of_service", "z", WHY),
        ("in_service", "z", "repaired"),
    ]
    assert f"{len(history.service)} service changes of {valid}" in call("verify", file).stdout


def test_link_stays_out_of_service_after_a_restart(valid, linked):
    assert put(f"{valid}OutOfService", f"z: {WHY}") is None
    before = get(f"{valid}OutOfService_RBV")
    linked.stop()
    linked.start()
    assert get(f"{valid}OutOfService_RBV") == before
    assert until(valid, "VALID")["link_states"][0]["out_of_service"]


def test_severity_of_a_status_is_that_of_the_configuration(valid, motors):
    def severities():
        return {item.severity for item in read([f"{valid}{name}" for name in ("Status_RBV", "Reason_RBV")])}

    assert severities() == {0}
    put(motors.pv("Z:MOVN"), 1)
    until(valid, "MOVING")
    assert severities() == {0}
    put(motors.pv("Z:RBV"), 1500.0)
    put(motors.pv("Z:MOVN"), 0)
    until(valid, "MOVED")
    assert severities() == {1}


def test_links_show_what_was_acknowledged(valid):
    """A client that was told of the completion reads the links as they are now, also right after another change."""
    for _ in range(5):
        for suffix, text in (("OutOfService", f"z: {WHY}"), ("InService", "z")):
            assert put(f"{valid}{suffix}", text) is None
            z, _ = parse_links(get(f"{valid}Links_RBV"))
            assert (z.out_of_service is None) is (suffix == "InService")
