"""The service as a controls engineer meets it: one READY line, a quick end, one server per store."""

import re
import signal
import subprocess
import time

from live import TIMEOUT


def test_ready_line_tells_port_pvs_and_detectors(ioc):
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
