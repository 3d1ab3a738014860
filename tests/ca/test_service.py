"""The service: one READY line, a quick stop, one server per store."""

import re
import signal
import subprocess
import sys
import time

from live import TIMEOUT


def test_ready_line_has_port_pvs_and_detectors(ioc):
    assert re.fullmatch(rf"READY port={ioc.port} pvs=\d+ detectors=2", ioc.ready)


def test_sigterm_ends_it_within_two_seconds(make_ioc):
    ioc = make_ioc().start()
    began = time.monotonic()
    assert ioc.stop() == 0
    assert time.monotonic() - began < 2.0


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
