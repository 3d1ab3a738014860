"""The CA server compared with EPICS base's C server, pythonSoftIOC and caproto's own server, in one run.

``python tests/bench/bench_servers.py [rounds] [--json FILE]`` prints for each kind of work the median over the rounds,
the smallest and the largest, and the ratio to EPICS base. Each server is a process of its own with the same records;
in each round every server has its turn. The client is one circuit, byte by byte, so that no client library's time is
in the figures, but for the rows that name pyepics. Client and server share one CPU, so that the time to wake an idle
one, which is longer than the work, is not in them either. pythonSoftIOC takes part if it is installed (``pip install
softioc``). The last rows are of the whole IOC with a store on tmpfs, and have no peer.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import multiprocessing
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from base_ioc import SoftIoc
from live import free_ports
from raw import Raw, message, subscription
from speak import GEOMETRY

PREFIX = "B:"
CONNECTED = 400
LOOPBACK = {
    "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1", "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
}  # fmt: skip
MORE = "".join(f'record(ao, "{PREFIX}C{number}") {{}}\n' for number in range(CONNECTED))
DOUBLE, TIME_DOUBLE, TIME_CHAR, CHAR = 6, 20, 18, 4

# --- the servers


def serve_ponikeeper(ready: Any) -> None:
    """Serve records whose puts store nothing."""
    import uvloop

    from ponikeeper.ca.channels import make_channel
    from ponikeeper.ca.server import Context
    from ponikeeper.protocol.pvs import PV, Kind

    def make(name: str, kind: Kind) -> Any:
        async def show(value: Any, _: object) -> None:
            channel.post(value.decode() if isinstance(value, bytes) else value, time.time())

        channel = make_channel(PV(name, kind, "", writable=True), show)
        return channel

    pvdb = {f"{PREFIX}Number": make("Number", Kind.DOUBLE), f"{PREFIX}Text": make("Text", Kind.TEXT)}
    pvdb |= {f"{PREFIX}C{number}": make(f"C{number}", Kind.DOUBLE) for number in range(CONNECTED)}

    async def tell(_: object) -> None:
        ready.set()

    uvloop.run(Context(pvdb).run(tell))


def serve_caproto(ready: Any) -> None:
    """Serve the same records by caproto's own server."""
    from caproto import ChannelChar, ChannelDouble
    from caproto.asyncio.server import Context

    pvdb: dict[str, Any] = {f"{PREFIX}Number": ChannelDouble(value=0.0)}
    pvdb[f"{PREFIX}Text"] = ChannelChar(value="", max_length=16000)
    pvdb |= {f"{PREFIX}C{number}": ChannelDouble(value=0.0) for number in range(CONNECTED)}

    async def tell(_: object) -> None:
        ready.set()

    async def run() -> None:
        await Context(pvdb).run(startup_hook=tell)

    asyncio.run(run())


def serve_python_softioc(ready: Any) -> None:
    """Serve the same records by pythonSoftIOC."""
    from softioc import asyncio_dispatcher, builder, softioc

    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName(PREFIX.rstrip(":"))
    builder.aOut("Number", always_update=True)
    builder.WaveformOut("Text", length=16000, datatype="uint8", initial_value=[])
    for number in range(CONNECTED):
        builder.aOut(f"C{number}")
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)
    ready.set()
    threading.Event().wait()


def run_server(serve: Callable[[Any], None], port: int, ready: Any) -> None:
    """Run a server in this process."""
    os.environ.update(LOOPBACK, EPICS_CA_SERVER_PORT=str(port))
    logging.disable()
    serve(ready)


@contextlib.contextmanager
def one_cpu(pid: int) -> Iterator[None]:
    """Keep this process and all threads of a server on one CPU."""
    before = os.sched_getaffinity(0)
    threads = [0, *(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())]
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {min(before)})
        yield
    finally:
        for thread in threads:
            os.sched_setaffinity(thread, before)


@contextlib.contextmanager
def served(serve: Callable[[Any], None]) -> Iterator[tuple[int, int]]:
    """Run a server in a process of its own, and yield its port and its process."""
    spawn = multiprocessing.get_context("spawn")
    ready, (port,) = spawn.Event(), free_ports(1)
    process = spawn.Process(target=run_server, args=(serve, port, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(30):
            raise RuntimeError(f"{serve.__name__} does not start")
        assert process.pid is not None
        yield port, process.pid
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def base() -> Iterator[tuple[int, int]]:
    """Run EPICS base's server, and yield its port and its process."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder, SoftIoc(PREFIX, port, Path(folder), MORE) as ioc:
        yield ioc.port, ioc.pid


# --- the work


def median_of(count: int, work: Callable[[int], None]) -> float:
    """Return the median duration of some work (us)."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


def put_message(sid: int, value: float) -> bytes:
    """Write a put with completion."""
    return message(19, struct.pack(">d", value), DOUBLE, 1, sid, 1)


def one_client(port: int, pipelined: bool) -> dict[str, float]:
    """Measure what one circuit does."""
    with Raw(port) as raw:
        number, text = raw.channel(f"{PREFIX}Number"), raw.channel(f"{PREFIX}Text")

        def exchange(request: bytes, reply: int, times: int = 1) -> None:
            raw.send(request)
            for _ in range(times):
                raw.receive(reply)

        long = message(19, b"x" * 2000, CHAR, 2000, text, 1)
        rows = {
            "put, completed (us)": median_of(1000, lambda k: exchange(put_message(number, k % 7), 19)),
            "get (us)": median_of(1000, lambda _: exchange(message(15, b"", TIME_DOUBLE, 1, number, 1), 15)),
            "put of 2,000 characters (us)": median_of(400, lambda _: exchange(long, 19)),
        }
        if pipelined:
            ten = median_of(200, lambda k: exchange(put_message(number, k % 7) * 10, 19, 10))
            rows["ten puts in one segment (us)"] = ten
        return rows


def monitors(port: int, count: int) -> float:
    """Measure from a put to the last of some monitors (us)."""
    with contextlib.ExitStack() as stack:
        watching = [stack.enter_context(Raw(port)) for _ in range(count)]
        for raw in watching:
            raw.send(subscription(raw.channel(f"{PREFIX}Number"), 1, TIME_DOUBLE))
            raw.receive(1)
        putting = stack.enter_context(Raw(port))
        sid = putting.channel(f"{PREFIX}Number")

        def put(number: int) -> None:
            putting.send(put_message(sid, number % 7 + 0.5))
            for raw in watching:
                raw.receive(1)

        def whole(number: int) -> None:
            put(number)
            putting.receive(19)

        return median_of(150, whole)


def subscriptions(port: int) -> float:
    """Measure 10,000 subscriptions made and cleared (ms)."""
    with Raw(port) as raw:
        sid = raw.channel(f"{PREFIX}Number")
        began = time.perf_counter()
        for first in range(0, 10_000, 1000):
            raw.send(b"".join(subscription(sid, first + number, TIME_DOUBLE) for number in range(1000)))
        for _ in range(10_000):
            raw.receive(1)
        raw.send(b"".join(message(2, b"", TIME_DOUBLE, 1, sid, number) for number in range(10_000)), message(23))
        raw.receive(23)
        return 1e3 * (time.perf_counter() - began)


def hammer(port: int, seconds: float, result: Any) -> None:
    """Put as fast as possible for some seconds."""
    with Raw(port) as raw:
        sid, count, end = raw.channel(f"{PREFIX}Number"), 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            raw.send(put_message(sid, count % 7) * 10)
            for _ in range(10):
                raw.receive(19)
            count += 10
        result.put(count / seconds)


def four_clients(port: int) -> float:
    """Measure the puts of four clients together (1/s)."""
    spawn = multiprocessing.get_context("spawn")
    result = spawn.Queue()
    clients = [spawn.Process(target=hammer, args=(port, 2.0, result)) for _ in range(4)]
    for client in clients:
        client.start()
    rates = [result.get(timeout=60) for _ in clients]
    for client in clients:
        client.join()
    return sum(rates)


PYEPICS = """
import json, sys, time, statistics, epics
prefix, count = sys.argv[1], int(sys.argv[2])
pv = epics.PV(prefix + "Number"); pv.wait_for_connection(10)
def timed(work, times):
    found = []
    for number in range(times):
        began = time.perf_counter(); work(number); found.append(time.perf_counter() - began)
    return 1e6 * statistics.median(found)
def ten(number):
    done = []
    for each in range(10):
        pv.put(each + number % 3, wait=False, callback=lambda **_: done.append(1))
    while len(done) < 10:
        epics.ca.poll(1e-5, 1e-5)
rows = {"pyepics: put(wait=True) (us)": timed(lambda number: pv.put(number % 7, wait=True), 300),
        "pyepics: ten puts with callback (us)": timed(ten, 100)}
began = time.perf_counter()
pvs = [epics.PV(f"{prefix}C{number}", auto_monitor=False) for number in range(count)]
while not all(each.connected for each in pvs):
    epics.ca.poll(1e-4, 1e-4)
rows[f"pyepics: {count} PVs connected (ms)"] = 1e3 * (time.perf_counter() - began)
print(json.dumps(rows))
"""


def pyepics(port: int) -> dict[str, float]:
    """Measure what pyepics does, in a process of its own."""
    environment = {**os.environ, **LOOPBACK, "EPICS_CA_SERVER_PORT": str(port), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", PYEPICS, PREFIX, str(CONNECTED)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(port: int, pid: int, pipelined: bool) -> dict[str, float]:
    """Measure all work on one server; without what is pipelined, which caproto's server does not complete."""
    with one_cpu(pid):
        rows = one_client(port, pipelined)
        rows |= {f"put to the last of {count} monitors (us)": monitors(port, count) for count in (1, 10, 50)}
        if not pipelined:
            return rows
        rows["10,000 subscriptions made and cleared (ms)"] = subscriptions(port)
    rows["puts of four clients (1/s)"] = four_clients(port)
    return rows | pyepics(port)


# --- the whole IOC


@contextlib.contextmanager
def ioc(detectors: int) -> Iterator[tuple[int, int, float, int]]:
    """Run an IOC with its store on tmpfs; yield port, process, the time to READY (s) and its memory (MB)."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        text = f'[ioc]\nprefix = "{PREFIX}"\nstate_dir = "."\nport = {port}\n'
        text += "".join(f'[[detector]]\nprefix = "{PREFIX}{number}:"\n' for number in range(detectors))
        config = Path(folder, "ioc.toml")
        config.write_text(text)
        command = [sys.executable, "-m", "ponikeeper", "serve", str(config)]
        began = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **LOOPBACK}, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("READY")
            ready = time.perf_counter() - began
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory = next(int(line.split()[1]) // 1000 for line in status.splitlines() if line.startswith("VmRSS"))
            yield port, process.pid, ready, memory
        finally:
            process.terminate()
            process.communicate()


def commit_rate(port: int, numbers: list[int], count: int) -> float:
    """Measure commits with single values, of some detectors at once (1/s)."""
    clients = []
    for number in numbers:
        raw = Raw(port)
        text = json.dumps(
            {
                "v": 1,
                "request": f"first-{number}",
                "op": "commit",
                "geometry": GEOMETRY,
                "provenance": {"method": "manual"},
            }
        ).encode()
        raw.send(message(19, text, CHAR, len(text), raw.channel(f"{PREFIX}{number}:Request"), 1))
        assert raw.receive(19, 11).command == 19
        clients.append((raw, raw.channel(f"{PREFIX}{number}:Dist")))

    def commit(raw: Raw, sid: int) -> None:
        for number in range(count):
            raw.send(put_message(sid, 0.3 + 1e-4 * number))
            assert raw.receive(19, 11).command == 19

    threads = [threading.Thread(target=commit, args=client) for client in clients]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = count * len(clients) / (time.perf_counter() - began)
    for raw, _ in clients:
        raw.sock.close()
    return rate


def snapshot_latency(port: int) -> float:
    """Measure from a commit to Snapshot at the last of 50 clients (ms)."""
    with contextlib.ExitStack() as stack:
        watching = [stack.enter_context(Raw(port)) for _ in range(50)]
        for raw in watching:
            raw.send(subscription(raw.channel(f"{PREFIX}0:Snapshot_RBV"), 1, TIME_CHAR))
            raw.receive(1)
        putting = stack.enter_context(Raw(port))
        sid = putting.channel(f"{PREFIX}0:Dist")

        def commit(number: int) -> None:
            putting.send(put_message(sid, 0.5 + 1e-4 * number))
            for raw in watching:
                raw.receive(1)
            putting.receive(19)

        return median_of(100, commit) / 1e3


def product() -> dict[str, float]:
    """Measure the whole IOC."""
    with ioc(10) as (port, pid, *_):
        rows = {"commits of one detector (1/s)": commit_rate(port, [0], 300)}
        rows["commits of ten detectors (1/s)"] = commit_rate(port, list(range(10)), 60)
        rows["commit to Snapshot at the last of 50 clients (ms)"] = snapshot_latency(port)
        with Raw(port) as raw:
            sid = raw.channel(f"{PREFIX}0:Stage:Dist")

            def stage(number: int) -> None:
                raw.send(put_message(sid, 0.3 + 1e-4 * (number % 100)))
                raw.receive(19)

            with one_cpu(pid):
                rows["put to Stage:Dist (us)"] = median_of(1000, stage)
    with ioc(100) as (_, _, ready, memory):
        rows |= {"100 detectors: exec to READY (s)": ready, "100 detectors: memory (MB)": memory}
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    servers: dict[str, Callable[[], Any]] = {"EPICS base": base, "ponikeeper": lambda: served(serve_ponikeeper)}
    if find_spec("softioc") is not None:
        servers["pythonSoftIOC"] = lambda: served(serve_python_softioc)
    servers["caproto"] = lambda: served(serve_caproto)
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(options.rounds):
        for name, server in servers.items():
            with server() as (port, pid):
                for row, value in measure(port, pid, name != "caproto").items():
                    found.setdefault(row, {}).setdefault(name, []).append(value)
        for row, value in product().items():
            found.setdefault(row, {}).setdefault("ponikeeper", []).append(value)
    for row, by_server in found.items():
        reference = statistics.median(by_server["EPICS base"]) if "EPICS base" in by_server else None
        print(row)
        for name, values in by_server.items():
            middle = statistics.median(values)
            ratio = "" if reference is None else f"  {middle / reference:6.2f} x EPICS base"
            print(f"  {name:<14} {middle:10.2f}  ({min(values):.2f} to {max(values):.2f}){ratio}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
