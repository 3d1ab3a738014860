"""PVAccess compared with p4p alone and with a group PV of QSRV, and Channel Access with and without it, in one run.

``python tests/bench/bench_pva.py [rounds]`` prints medians (ms): get, put (answered when it is done: for ponikeeper, on
disk and active), and put until the update arrives by a monitor. p4p alone serves the same structure from memory. Then
the time of a put over Channel Access to two IOCs in turn, of which one serves PVAccess, too; memory and time to READY.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import conftest  # the environment of Channel Access, before any library of it is loaded
from caproto import ChannelType

from live import LiveIoc, free_ports, serving, wait_for
from ponikeeper.protocol.geometry_structure import NAME, TYPE_ID, spec
from pva_clients import TIMEOUT, connected, get, monitoring, put
from speak import GEOMETRY, Wire, commit_text

_WHOLE = {**GEOMETRY, "detector_config": "{}"}
_BLOCK = 25
"""Puts to one IOC before the other has its turn."""


def serve_p4p(port: str) -> None:
    """Serve the structure from memory, by p4p alone, until the end of the input."""
    from p4p import Type, Value
    from p4p.server import Server
    from p4p.server.raw import SharedPV

    class Handler:
        def put(self, pv: Any, operation: Any) -> None:
            pv.post(operation.value())
            operation.done()

    kind = Type(spec(), id=TYPE_ID)
    pv = SharedPV(handler=Handler(), initial=Value(kind, _WHOLE))
    with Server([{"B:Geometry": pv}], conf=_server(int(port)), useenv=False):
        print("READY", flush=True)
        sys.stdin.read()


def _server(port: int) -> dict[str, str]:
    return {
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_SERVER_PORT": str(port),
        "EPICS_PVAS_BROADCAST_PORT": str(free_ports(1)[0]),
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }


@contextlib.contextmanager
def p4p_alone() -> Iterator[tuple[int, str]]:
    """Serve the structure by p4p alone; return port and PV."""
    (port,) = free_ports(1)
    command = [sys.executable, __file__, "p4p", str(port)]
    with _process(command, {}, "READY"):
        yield port, "B:Geometry"


@contextlib.contextmanager
def qsrv(folder: Path) -> Iterator[tuple[int, str]]:
    """Serve a group PV of the values by EPICS base with QSRV; return port and PV."""
    (port,) = free_ports(1)
    records = []
    for name, value in _WHOLE.items():
        group = f'info(Q:group, {{"B:Geometry": {{"{name}": {{+type: "plain", +channel: "VAL", +putorder: 1}}}}}})'
        kind = "stringout" if isinstance(value, str) else "ao"
        records.append(f'record({kind}, "B:{name}") {{ field(VAL, "{value}") field(PINI, "YES") {group} }}')
    (folder / "group.db").write_text("\n".join(records))
    environment = {**_server(port), "EPICS_CA_SERVER_PORT": str(free_ports(1)[0])}
    with _process([sys.executable, "-m", "pvxslibs.ioc", "-d", str(folder / "group.db")], environment, "", wait=False):
        yield port, "B:Geometry"


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], says: str, wait: bool = True) -> Iterator[None]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdin=pipe, stdout=pipe if wait else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        if wait:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(says)
        yield
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def median(rounds: int, action: Callable[[int], object]) -> float:
    """Return the median time of an action (ms)."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        action(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def pva_figures(port: int, pv: str, rounds: int) -> list[float]:
    """Measure get, put, and put until the update arrives."""
    with connected(port) as client:
        wait_for(lambda: not isinstance(_tried(client, pv), Exception), what=pv)
        gets = median(rounds, lambda _: get(client, pv))
        puts = median(rounds, lambda number: _accepted(put(client, pv, {"dist": 0.2 + number * 1e-6}, get=False)))
        with connected(port) as other, monitoring(other, pv) as updates:

            def put_and_wait(number: int) -> None:
                dist = 0.3 + number * 1e-6
                _accepted(put(client, pv, {"dist": dist}, get=False))
                deadline = time.monotonic() + TIMEOUT
                while updates[-1].dist != dist:
                    assert time.monotonic() < deadline
                    time.sleep(2e-5)

            return [gets, puts, median(rounds, put_and_wait)]


def _tried(client: Any, pv: str) -> Any:
    try:
        return client.get(pv, timeout=2)
    except TimeoutError as error:
        return error


def _accepted(error: str | None) -> None:
    assert error is None, error


def ca_figures(off: LiveIoc, on: LiveIoc, rounds: int) -> dict[str, tuple[float, float]]:
    """Measure puts over Channel Access to two IOCs in turn: without PVAccess, with it, and with one monitor.

    Returns time and CPU time of a put (ms).
    """
    with contextlib.ExitStack() as stack:
        wires = {name: stack.enter_context(Wire(ioc.port)) for name, ioc in (("off", off), ("on", on))}
        channels = {name: wires[name].channel(f"{ioc.prefix}Dist") for name, ioc in (("off", off), ("on", on))}
        times: dict[str, list[float]] = {"off": [], "on": [], "off again": [], "monitored": []}
        busy: dict[str, list[float]] = {name: [] for name in times}
        numbers = iter(range(10**9))

        def block(kind: str, name: str) -> None:
            ioc = {"off": off, "on": on}[name]
            before = cpu_time(ioc)
            for _ in range(_BLOCK):
                value = 0.2 + next(numbers) * 1e-9
                began = time.perf_counter()
                answer = wires[name].put(channels[name], [value], ChannelType.DOUBLE)
                times[kind].append(time.perf_counter() - began)
                assert not hasattr(answer, "error_message")
            busy[kind].append((cpu_time(ioc) - before) / _BLOCK)

        for turn in range(max(rounds // _BLOCK, 1)):
            for name in ("off", "on")[:: 1 if turn % 2 else -1]:
                block(name, name)
        with connected(on.pva_port) as client, monitoring(client, f"{on.prefix}{NAME}"):
            for turn in range(max(rounds // _BLOCK, 1)):
                for kind, name in (("off again", "off"), ("monitored", "on"))[:: 1 if turn % 2 else -1]:
                    block(kind, name)
    return {name: (statistics.median(each) * 1e3, statistics.median(busy[name]) * 1e3) for name, each in times.items()}


def cpu_time(ioc: LiveIoc) -> float:
    """Return the time that the threads of an IOC have run (s); unlike other times it does not depend on the load."""
    assert ioc.process is not None
    tasks = Path(f"/proc/{ioc.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(ioc: LiveIoc) -> float:
    """Return the memory of an IOC (MB)."""
    assert ioc.process is not None
    return int(Path(f"/proc/{ioc.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1000


def ready_time(ioc: LiveIoc) -> float:
    """Start an IOC, and return the time until it is ready (s)."""
    began = time.perf_counter()
    ioc.start()
    return time.perf_counter() - began


def _compared(without: float, value: float) -> str:
    return f"{value:.2f} instead of {without:.2f} ms ({100 * (value / without - 1):+.1f} %)"


def main(rounds: int) -> None:
    """Measure and print."""
    memory_disk = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory_disk if memory_disk.exists() else None) as folder,
        serving(LiveIoc(Path(folder) / "on", conftest._free.pop(0), "BN", pva=True)) as on,
        serving(LiveIoc(Path(folder) / "off", conftest._free.pop(0), "BF")) as off,
    ):
        pv = f"{on.prefix}{NAME}"
        for ioc in (on, off):
            with Wire(ioc.port) as wire:
                text = commit_text("first").encode()
                wire.put(wire.channel(f"{ioc.prefix}Request"), text, ChannelType.CHAR)
        ca = ca_figures(off, on, 4 * rounds)
        for name, base in (("on", "off"), ("monitored", "off again")):
            what = "with PVAccess" if name == "on" else "with a PVAccess monitor of the structure, too"
            print(
                f"CA put {what}: time {_compared(ca[base][0], ca[name][0])}, CPU {_compared(ca[base][1], ca[name][1])}"
            )
        print(f"memory {memory(off):.0f} and {memory(on):.0f} MB")
        rows = {"ponikeeper": pva_figures(on.pva_port, pv, rounds)}
        with p4p_alone() as (port, name):
            rows["p4p alone"] = pva_figures(port, name, rounds)
        with qsrv(Path(folder)) as (port, name):
            rows["QSRV group"] = pva_figures(port, name, rounds)
        print("PVAccess (ms)   get    put    put to monitor")
        for name, figures in rows.items():
            print(f"{name:12s} {figures[0]:6.2f} {figures[1]:6.2f} {figures[2]:6.2f}")
        starts: dict[str, list[float]] = {"off": [], "on": []}
        for _ in range(5):
            for name, ioc in (("off", off), ("on", on)):
                ioc.kill()
                starts[name].append(ready_time(ioc))
        print("exec to READY", " and ".join(f"{statistics.median(each):.2f}" for each in starts.values()), "s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["p4p"]:
        serve_p4p(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
