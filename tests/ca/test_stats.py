"""The PVs of iocStats on a live IOC."""

import itertools
import os
import socket
import time
from pathlib import Path

from live import serving, wait_for
from speak import Wire, forget, get, info, monitoring

NUMBERS = ("HEARTBEAT", "START_CNT", "CA_CLNT_CNT", "CA_CONN_CNT", "MEM_USED", "FD_CNT", "FD_FREE", "PROCESS_ID")
TEXTS = ("UPTIME", "STARTTOD", "TOD", "HOSTNAME", "ENGINEER", "LOCATION", "EPICS_VERSION")


def own(ioc, suffix):
    return f"{ioc.name}{{IOC}}{suffix}"


def test_heartbeat_comes_by_monitor_once_a_second(ioc):
    with monitoring(own(ioc, "HEARTBEAT")) as (beats,):
        wait_for(lambda: len(beats.values) >= 4)
        numbers = [float(value) for value in beats.values[-3:]]
        times = [value.timestamp for value in beats.values[-3:]]
    assert [later - sooner for sooner, later in itertools.pairwise(numbers)] == [1.0, 1.0]
    assert all(later > sooner for sooner, later in itertools.pairwise(times))


def test_process_statistics_are_those_of_the_process(ioc):
    assert get(own(ioc, "PROCESS_ID")) == ioc.process.pid
    assert get(own(ioc, "HOSTNAME")) == socket.gethostname()
    resident = int(Path(f"/proc/{ioc.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert abs(get(own(ioc, "MEM_USED")) / resident - 1) < 0.5
    assert 5 < get(own(ioc, "FD_CNT")) < 200 < get(own(ioc, "FD_FREE"))
    assert abs(time.mktime(time.strptime(get(own(ioc, "TOD")), "%m/%d/%Y %H:%M:%S")) - time.time()) < 10


def test_numbers_are_doubles_and_texts_strings_as_iocstats_has_them(ioc):
    assert {value.datatype for value in info([own(ioc, suffix) for suffix in NUMBERS])} == {6}
    assert {value.datatype for value in info([own(ioc, suffix) for suffix in TEXTS])} == {0}


def test_starts_and_clients_are_counted(make_ioc):
    ioc = make_ioc(own='engineer = "A. Söhne"\nlocation = "28-ID-1"')
    with serving(ioc):
        assert get(own(ioc, "START_CNT")) == 1
        assert (get(own(ioc, "ENGINEER")), get(own(ioc, "LOCATION"))) == ("A. S\\xf6hne", "28-ID-1")
        before = get(own(ioc, "CA_CLNT_CNT")), get(own(ioc, "CA_CONN_CNT"))
        with Wire(ioc.port) as one, Wire(ioc.port) as other:
            for wire in (one, other):
                wire.channel(f"{ioc.prefix}Dist")
            wait_for(lambda: get(own(ioc, "CA_CLNT_CNT")) >= before[0] + 2)
            assert get(own(ioc, "CA_CONN_CNT")) >= before[1] + 2
        assert ioc.stop() == 0
    forget()
    with serving(ioc):
        assert get(own(ioc, "START_CNT")) == 2
