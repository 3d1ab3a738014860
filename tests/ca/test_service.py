"""The service: one READY line, a quick stop, one server per store."""

import contextlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import caproto as ca
import pytest
from caproto import ChannelType

from live import TIMEOUT, wait_for
from raw import Raw
from speak import GEOMETRY, Wire, commit_text, request


def test_ready_line_has_port_pvs_and_detectors(ioc):
    assert re.fullmatch(rf"READY port={ioc.port} pvs=\d+ detectors=2", ioc.ready)


def test_sigterm_ends_it_at_once(make_ioc):
    ioc = make_ioc().start()
    began = time.monotonic()
    assert ioc.stop() == 0
    assert time.monotonic() - began < 5.0


STUBBORN = """
import asyncio
from ponikeeper.__main__ import main
from ponikeeper.ca.stats_pvs import StatsPVs

run = StatsPVs.run

async def stubborn(self, clients):
    while True:
        try:
            await run(self, clients)
        except asyncio.CancelledError:
            pass

StatsPVs.run = stubborn
main()
"""


def test_part_that_does_not_end_does_not_keep_the_service(make_ioc):
    ioc = make_ioc()
    ioc.command = lambda: [sys.executable, "-c", STUBBORN, "serve", str(ioc.config)]
    ioc.start()
    began = time.monotonic()
    ioc.stop()
    assert time.monotonic() - began < 6.0
    assert "a part of the service does not end" in ioc.stderr.read_text()


def test_second_instance_on_the_same_store_is_refused(make_ioc):
    ioc = make_ioc().start()
    second = subprocess.run(ioc.command(), env=ioc.environment(), capture_output=True, text=True, timeout=TIMEOUT)
    assert second.returncode == 4
    assert "is served by another ponikeeper" in second.stderr
    assert second.stdout == ""


def test_sigint_ends_it_as_sigterm_does(make_ioc):
    ioc = make_ioc().start()
    ioc.signal(signal.SIGINT)
    assert ioc.stop() == 0


def test_second_instance_on_the_same_prefix_is_refused_unless_forced(make_ioc):
    first, rival = make_ioc().start(), make_ioc()
    rival.port = first.port
    rival.config.write_text(rival.config.read_text().replace(f'"{rival.name}{{IOC}}"', f'"{first.name}{{IOC}}"'))
    refused = subprocess.run(rival.command(), env=rival.environment(), capture_output=True, text=True, timeout=TIMEOUT)
    assert refused.returncode == 1
    assert f"{first.name}{{IOC}}Version_RBV is served by 127.0.0.1:{first.port} already" in refused.stderr
    forced = [*rival.command(), "--force"]
    rival.command = lambda: forced
    assert rival.start().ready.startswith("READY")


def test_port_may_be_set_by_the_environment_of_a_ca_server(make_ioc):
    ioc = make_ioc()
    named = {**ioc.environment(), "EPICS_CAS_SERVER_PORT": str(ioc.port)}
    del named["EPICS_CA_SERVER_PORT"]
    ioc.environment = lambda: named
    assert ioc.start().ready.startswith(f"READY port={ioc.port} ")


def test_invalid_port_is_reported(make_ioc):
    ioc = make_ioc()
    named = {**ioc.environment(), "EPICS_CAS_SERVER_PORT": "many"}
    done = subprocess.run(ioc.command(), env=named, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 2
    assert "EPICS_CAS_SERVER_PORT = 'many': expected a port from 1 to 65535" in done.stderr


def test_second_instance_on_the_prefix_of_a_detector_is_refused(make_ioc):
    first, rival = make_ioc().start(), make_ioc()
    rival.port = first.port
    rival.config.write_text(rival.config.read_text().replace(rival.prefixes[1], first.prefixes[1]))
    refused = subprocess.run(rival.command(), env=rival.environment(), capture_output=True, text=True, timeout=TIMEOUT)
    assert refused.returncode == 1
    assert f"{first.prefixes[1]}Snapshot_RBV is served by 127.0.0.1:{first.port} already" in refused.stderr


DEFECT = """
from ponikeeper.__main__ import main
from ponikeeper.detector.keeper import Keeper

async def check_links(self):
    raise RuntimeError("a defect")

Keeper.check_links = check_links
main()
"""


def test_defect_that_stops_status_updates_ends_the_service(make_ioc):
    """A status that is not updated would look current."""
    ioc = make_ioc()
    command = [sys.executable, "-c", DEFECT, "serve", str(ioc.config)]
    done = subprocess.run(command, env=ioc.environment(), capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode not in (0, 2)
    assert "RuntimeError: a defect" in done.stderr


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_end_no_service(make_ioc, closed):
    ioc = make_ioc()
    command = f"exec {shlex.join(ioc.command())} {closed}"
    process = subprocess.Popen(["bash", "-c", command], env=ioc.environment())
    try:
        wait_for(lambda: is_served(ioc))
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()


def is_served(ioc):
    with contextlib.suppress(OSError), Raw(ioc.port) as raw:
        return raw.answers()
    return False


def test_deleted_working_folder_ends_no_service(make_ioc, tmp_path):
    ioc = make_ioc()
    folder = tmp_path / "gone"
    folder.mkdir()
    command = f"cd {folder} && rmdir {folder} && exec {shlex.join(ioc.command())}"
    ioc.command = lambda: ["bash", "-c", command]
    assert ioc.start().ready.startswith("READY")
    assert ioc.stop() == 0


@pytest.mark.parametrize("verb", ["serve", "check"])
def test_variables_that_cannot_be_used_are_reported_before_anything_is_served(make_ioc, verb):
    ioc = make_ioc()
    wrong = {"EPICS_CAS_BEACON_PERIOD": "30s", "EPICS_CAS_INTF_ADDR_LIST": "no.such.host.invalid"}
    command = [sys.executable, "-m", "ponikeeper", verb, str(ioc.config)]
    done = subprocess.run(command, env=ioc.environment() | wrong, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 2
    assert "EPICS_CAS_BEACON_PERIOD = '30s': expected seconds" in done.stderr
    assert "'no.such.host.invalid': expected an IPv4 address or the name of a host" in done.stderr
    assert "Traceback" not in done.stderr


def test_empty_variables_and_host_names_are_accepted(make_ioc):
    ioc = make_ioc()
    more = {"EPICS_CAS_INTF_ADDR_LIST": "localhost", "EPICS_CAS_BEACON_PERIOD": "", "EPICS_CAS_SERVER_PORT": ""}
    environment = ioc.environment() | more
    ioc.environment = lambda: environment
    assert ioc.start().ready.startswith("READY")
    assert ioc.stop() == 0


def test_another_server_on_the_port_is_reported_with_both_ports_and_the_cure(make_ioc):
    ioc = make_ioc()
    with socket.create_server(("127.0.0.1", ioc.port)):
        ready = ioc.start().ready
    port = re.search(r"port=(\d+)", ready)[1]
    assert int(port) != ioc.port
    expected = f"TCP port {ioc.port} is taken by another server, using {port}; give one of the two another port"
    assert expected in ioc.stderr.read_text()
    assert "UDP" not in ioc.stderr.read_text()


def test_udp_port_that_another_server_has_is_reported_by_check_and_at_the_start(make_ioc, call):
    ioc = make_ioc(detectors=("{Det:1}Calib:",))
    shared = f"UDP port {ioc.port} is shared with another server: searches by unicast"
    ports = {"EPICS_CA_SERVER_PORT": str(ioc.port)}
    assert "UDP" not in call("check", ioc.config, **ports).stdout
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as every CA server does
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(("127.0.0.1", ioc.port))
        assert f"    warning: {shared}" in call("check", ioc.config, **ports).stdout
        ioc.start()
    assert shared in ioc.stderr.read_text()
    assert "UDP" not in call("check", ioc.config, **ports).stdout  # it shares the port with itself


def test_clients_are_limited_and_those_that_are_connected_can_commit(make_ioc):
    ioc = make_ioc(own="max_clients = 12\nmax_clients_per_host = 8").start()
    with Wire(ioc.port) as good, contextlib.ExitStack() as idle:
        channel = good.channel(f"{ioc.prefix}Request")
        for _ in range(30):
            idle.enter_context(socket.create_connection(("127.0.0.1", ioc.port)))
        good.put(channel, commit_text().encode(), ChannelType.CHAR)
        wait_for(lambda: read_number(good, f"{ioc.name}{{IOC}}ClientsRefused_RBV") >= 20)
        assert read_number(good, f"{ioc.prefix}Revision_RBV") == 1
    wait_for(lambda: is_served(ioc))


def read_number(wire, name):
    wire.send(wire.channel(name).read())
    return wire.receive(ca.ReadNotifyResponse).data[0]


def test_idle_clients_leave_descriptors_for_the_store(make_ioc):
    ioc = make_ioc()
    ioc.command = lambda: [
        "bash", "-c", f"ulimit -n 128; exec {sys.executable} -m ponikeeper serve {ioc.config}",
    ]  # fmt: skip
    ioc.start()
    with Wire(ioc.port) as good, contextlib.ExitStack() as idle:
        channel = good.channel(f"{ioc.prefix}Request")
        for number in range(300):
            source = (f"127.0.0.{2 + number % 5}", 0)
            idle.enter_context(socket.create_connection(("127.0.0.1", ioc.port), source_address=source))
        answer = good.put(channel, commit_text().encode(), ChannelType.CHAR)
        assert isinstance(answer, ca.WriteNotifyResponse), answer
        assert read_number(good, f"{ioc.prefix}Revision_RBV") == 1


def test_log_level_is_that_of_the_environment_until_a_signal_changes_it(make_ioc):
    ioc = make_ioc(detectors=("{Det:1}Calib:",), environment={"PONIKEEPER_LOG_LEVEL": "warning"}).start()
    request(ioc.prefix, commit_text("one", geometry=GEOMETRY))
    assert "is active" not in ioc.stderr.read_text()
    ioc.signal(signal.SIGUSR1)
    wait_for(lambda: "log level: DEBUG" in ioc.stderr.read_text())
    request(ioc.prefix, commit_text("two", geometry={**GEOMETRY, "dist": 0.3}))
    line = f"INFO ponikeeper.detector.publisher: {ioc.prefix}: revision 2 is active, serial 2: commit by "
    wait_for(lambda: line in ioc.stderr.read_text())
    ioc.signal(signal.SIGUSR2)
    wait_for(lambda: "log level: WARNING" in ioc.stderr.read_text())
    request(ioc.prefix, commit_text("three", geometry=GEOMETRY))
    assert "revision 3" not in ioc.stderr.read_text()


def test_unknown_log_level_is_refused(make_ioc):
    ioc = make_ioc()
    done = subprocess.run(
        ioc.command(), env=ioc.environment() | {"PONIKEEPER_LOG_LEVEL": "loud"}, capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "log level 'loud' is unknown: expected DEBUG, INFO, WARNING or ERROR\n",
    )
