"""Put with completion, and put to monitor: ponikeeper's server compared with caproto's own, in one run.

``python tests/bench/bench_put_monitor.py [rounds]`` prints the median times (ms) and their ratio.
Each server is a process of its own; the client is one circuit, byte by byte, so that no client
library's time is in the figures.
"""

import asyncio
import logging
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from live import free_ports
from speak import Wire


def serve(server: str, port: int, ready) -> None:
    """Serve one number that accepts every put."""
    os.environ.update(
        EPICS_CA_SERVER_PORT=str(port), EPICS_CAS_INTF_ADDR_LIST="127.0.0.1",
        EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1", EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
    )  # fmt: skip
    logging.disable()  # caproto logs at each beacon that no repeater receives it
    from caproto import ChannelDouble
    from caproto.asyncio.server import Context as Stock

    from ponikeeper.ca.channels import make_channel
    from ponikeeper.ca.server import Context
    from ponikeeper.protocol.pvs import PV, Kind

    async def show(value, _) -> None:
        await ours.post(value, time.time(), 0, 0)  # a put never changes a channel of ponikeeper by itself

    ours = make_channel(PV("X", Kind.DOUBLE, "", writable=True), show)

    async def run() -> None:
        async def tell(_) -> None:
            ready.set()

        context = Context({"X": ours}) if server == "ponikeeper" else Stock({"X": ChannelDouble(value=0.0)})
        await context.run(startup_hook=tell)

    asyncio.run(run())


def measure(port: int, rounds: int) -> dict[str, float]:
    """Return the median times (ms) of a put with completion, and from a put to its monitor."""
    import caproto

    puts, monitors = [], []
    with Wire(port) as wire:
        channel = wire.channel("X")
        wire.send(channel.subscribe())
        wire.receive(caproto.EventAddResponse)
        for number in range(
            rounds
        ):  # of a monitored PV, as clients have it: two answers, of which Nagle holds one back
            began = time.perf_counter()
            wire.send(channel.write([float(number)], data_type=caproto.ChannelType.DOUBLE, notify=True))
            got = {type(wire.receive((caproto.WriteNotifyResponse, caproto.EventAddResponse))) for _ in range(2)}
            puts.append(time.perf_counter() - began)
            assert len(got) == 2
        for number in range(rounds):
            began = time.perf_counter()
            wire.send(channel.write([float(number)], data_type=caproto.ChannelType.DOUBLE))
            wire.receive(caproto.EventAddResponse)
            monitors.append(time.perf_counter() - began)
    return {
        "put with completion and its monitor": 1e3 * statistics.median(puts),
        "put to monitor": 1e3 * statistics.median(monitors),
    }


def bench(server: str, rounds: int) -> dict[str, float]:
    """Measure one server in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ready, (port,) = spawn.Event(), free_ports(1)
    process = spawn.Process(target=serve, args=(server, port, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(30):
            raise RuntimeError(f"{server} does not start")
        return measure(port, rounds)
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Print one line for each figure."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    ours, stock = bench("ponikeeper", rounds), bench("caproto", rounds)
    for name, value in ours.items():
        print(
            f"{name}: ponikeeper {value:.3f} ms, caproto {stock[name]:.3f} ms, {stock[name] / value:.1f} times faster"
        )


if __name__ == "__main__":
    main()
