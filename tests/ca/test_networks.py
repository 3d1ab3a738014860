"""Two networks: clients find the IOC as they find EPICS base's server: broadcast, unicast, TCP and beacons."""

import json
import subprocess

import pytest

import namespaces
import two_networks


@pytest.fixture(scope="module")
def found():
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(f"no networks can be made here: {reason}")
    done = subprocess.run(two_networks.command(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("bound", ["one", "all"])
def test_clients_find_it_as_they_find_epics_base(found, bound):
    base, ours = found[f"base, {bound}"], found[f"ponikeeper, {bound}"]
    ports = {46401: "its port", 46402: "its port"}

    def without_port(answers):
        return {how: answer and [ports.get(item, item) for item in answer] for how, answer in answers.items()}

    assert without_port(ours) == without_port(base)
    assert ours["broadcast 0"] == ["10.9.1.1", 46402]
    assert ours["tcp 0"] == [46402]


def test_server_bound_to_one_interface_is_not_found_on_the_other(found):
    ours = found["ponikeeper, one"]
    assert [ours[f"{how} 1"] for how in ("broadcast", "unicast", "tcp")] == [None, None, None]


def test_beacons_reach_each_network(found):
    assert found["beacons"] == [["10.9.1.1"], ["10.9.2.1"]]
    assert found["beacon, one"] == ["10.9.1.1"]


def test_ignored_host_gets_no_answer(found):
    assert found["ignored"] == [["10.9.1.1", 46402], None]
