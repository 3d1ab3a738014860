"""The service with PVAccess: ready when both protocols answer, stopped in order; nothing of it without."""

import getpass
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from p4p.client.thread import Context

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME
from pva_clients import connected, get, monitoring, put, searching, settings


def test_service_is_ready_when_both_protocols_answer_and_stops_in_order(make_ioc):
    ioc = make_ioc(pva=True).start()
    assert re.fullmatch(rf"READY port={ioc.port} pvs=\d+ detectors=2 pva_port={ioc.pva_port}", ioc.ready)
    with connected(ioc.pva_port) as client:
        assert get(client, f"{ioc.prefix}{NAME}").status == "UNSET"
        began = time.monotonic()
        assert ioc.stop() == 0
        assert time.monotonic() - began < 2
    assert "Traceback" not in ioc.stderr.read_text()


@pytest.mark.parametrize("interfaces", ['["127.0.0.1"]', '["0.0.0.0"]'])
def test_client_that_searches_finds_it_and_the_rules_know_its_address(make_ioc, interfaces):
    """A server on all interfaces sees IPv4 clients by IPv6 addresses."""
    ioc = make_ioc(pva=True, access='write = ["127.0.0.1"]')
    ioc.config.write_text(ioc.config.read_text().replace('interfaces = ["127.0.0.1"]', f"interfaces = {interfaces}"))
    ioc.start()
    with Context("pva", conf=searching(ioc), useenv=False, nt=False) as client:
        assert get(client, f"{ioc.prefix}{NAME}").status == "UNSET"
        assert put(client, f"{ioc.prefix}Follow", {"value.index": 1}) is None


def test_service_without_it_does_not_load_the_library(make_ioc):
    ioc = make_ioc().start()
    assert "pva" not in ioc.ready
    loaded = Path(f"/proc/{ioc.process.pid}/maps").read_text()
    assert not [name for name in ("p4p", "pvxs") if name in loaded]


def test_library_that_is_missing_is_named(make_ioc):
    ioc = make_ioc(pva=True)
    code = "import sys; sys.modules['p4p'] = None; from ponikeeper.__main__ import main; main()"
    for verb in ("serve", "check"):
        done = subprocess.run(
            [sys.executable, "-c", code, verb, str(ioc.config)], capture_output=True, text=True, env=ioc.environment()
        )
        assert done.returncode
        assert "p4p is not installed: pip install 'ponikeeper[pva]'" in done.stdout + done.stderr


ONLY_OPS = "UAG(ops) {alice}\nASG(DEFAULT) {\n  RULE(1, WRITE) {UAG(ops)}\n}\n"


def test_rules_by_which_reading_depends_on_the_user_are_refused(make_ioc, call):
    ioc = make_ioc(pva=True)
    rules = ioc.folder / "rules.acf"
    rules.write_text(ONLY_OPS)
    ioc.give_access('file = "rules.acf"')
    for verb in ("serve", "check"):
        done = call(verb, str(ioc.config))
        assert done.returncode == 2
        assert "who may read depends on the user, whom PVAccess does not know before a put" in done.stderr
    rules.write_text(ONLY_OPS.replace("RULE(1, WRITE)", "RULE(1, READ)\n  RULE(1, WRITE)"))
    ioc.start()
    rules.write_text(ONLY_OPS)
    ioc.signal(signal.SIGHUP)
    message = f"{ioc.name}{{IOC}}Access:Message_RBV"
    wait_for(lambda: "who may read depends on the user" in speak.get(message))
    assert speak.get(message).startswith("the previous rules stay active")


def test_interface_that_is_not_of_this_host_is_named(make_ioc, call):
    ioc = make_ioc(pva=True)
    ioc.config.write_text(
        ioc.config.read_text()
        .replace("[pva]", '[pva]\ninterfaces = ["192.0.2.1"]')
        .replace('interfaces = ["127.0.0.1"]\n', "")
    )
    done = call("serve", str(ioc.config))
    assert done.returncode == 2
    assert "pva: cannot listen" in done.stderr


def test_configured_port_that_is_in_use_is_named(make_ioc, call):
    ioc = make_ioc(pva=True)
    with socket.create_server(("127.0.0.1", ioc.pva_port)):
        done = call("serve", str(ioc.config))
    assert done.returncode == 2
    assert f"pva: port = {ioc.pva_port} is used by another program: expected a free port" in done.stderr


def test_port_of_the_environment_that_is_in_use_is_named(make_ioc, call):
    ioc = make_ioc(pva=True)
    ioc.config.write_text(ioc.config.read_text().replace(f"port = {ioc.pva_port}\n", ""))
    with socket.create_server(("127.0.0.1", ioc.pva_port)):
        done = call("serve", str(ioc.config), EPICS_PVAS_SERVER_PORT=str(ioc.pva_port))
    assert done.returncode == 2
    assert f"pva: EPICS_PVAS_SERVER_PORT = {ioc.pva_port} is used by another program: expected a free" in done.stderr
    done = call("serve", str(ioc.config), EPICS_PVAS_SERVER_PORT="abc")
    assert (done.returncode, "EPICS_PVAS_SERVER_PORT is 'abc': expected a port" in done.stderr) == (2, True)


def test_health_covers_both_protocols(make_ioc, call):
    ioc = make_ioc(pva=True).start()
    healthy = call("health", str(ioc.config), **settings(ioc.pva_port))
    assert (healthy.returncode, healthy.stdout[:14]) == (0, "PONIKEEPER OK ")
    elsewhere = call("health", str(ioc.config), "--timeout", "1", **settings(ioc.port))
    assert elsewhere.returncode == 2
    assert f"the IOC of {ioc.config.stem} does not answer over PVAccess" in elsewhere.stdout
    metrics = call("health", str(ioc.config), "--prometheus", **settings(ioc.pva_port)).stdout
    assert f'ponikeeper_up_pva{{ioc="{ioc.config.stem}"}} 1\n' in metrics


@pytest.mark.campaign
def test_client_is_back_after_the_service_was_restarted(make_ioc):
    ioc = make_ioc(pva=True).start()
    with connected(ioc.pva_port) as client, monitoring(client, f"{ioc.name}{{IOC}}HEARTBEAT") as updates:
        ioc.kill()
        ioc.start()
        known = len(updates)
        wait_for(lambda: len(updates) > known + 2)


def test_put_is_in_the_put_log(make_ioc):
    ioc = make_ioc(pva=True, own='putlog = "puts"').start()
    with connected(ioc.pva_port) as client:
        put(client, f"{ioc.prefix}{NAME}", {"dist": 0.3, "label": "near"})
        put(client, f"{ioc.prefix}Dist_RBV", {"value": 0.3})
    lines = (ioc.folder / "puts").read_text().splitlines()
    assert f'"user": "{getpass.getuser()}"' in lines[0]
    assert '"new": {"dist": 0.3, "label": "near"}' in lines[0]
    assert '"outcome": "refused"' in lines[0]
    assert f"{ioc.prefix}Dist_RBV is a readback and cannot be put" in lines[1]
    assert '"address": "127.0.0.1"' in lines[1]
