"""Duration of a restart, a commit and a query of the history, with few and with 100,000 revisions.

Run as ``python tests/bench/bench_restart.py [REVISIONS] [ROUNDS]``; it prints medians and the longest.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from live import LiveIoc, free_ports, wait_for
from ponikeeper.protocol import Activate
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import large_store
from wire import Wire, new_request


def main(revisions: int, rounds: int) -> None:
    """Measure an empty store, and one of many revisions."""
    port, os.environ["EPICS_CA_REPEATER_PORT"] = (str(number) for number in free_ports(2))
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("Few", 10), ("Many", revisions)):
            ioc = LiveIoc(Path(folder) / name, int(port), name)
            large_store(ioc.store, ioc.prefix, count)
            print(f"\n{count} revisions, {ioc.store.stat().st_size / 1e6:.1f} MB")
            measure_opening(ioc, rounds)
            measure_restarts(ioc, rounds)
            try:
                measure_serving(ioc.start(), count)
            finally:
                ioc.kill()


def measure_opening(ioc: LiveIoc, rounds: int) -> None:
    """Measure the history alone, without Python's start and the CA server."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        storage = SQLiteStorage(ioc.store)
        times.append(time.perf_counter() - began)
        storage.close()
    show("open and verify the newest rows", times)


def measure_restarts(ioc: LiveIoc, rounds: int) -> None:
    """Measure from exec to READY, after a SIGKILL each time."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ioc.start()
        times.append(time.perf_counter() - began)
        ioc.kill()
    show("SIGKILL, then exec to READY", times)


def measure_serving(ioc: LiveIoc, count: int) -> None:
    """Measure puts and gets over CA, and the command line."""
    with Wire(ioc.port) as wire:
        prefix = ioc.prefix
        show(
            "commit during the verification",
            timed(20, lambda n: wire.transact(prefix, new_request({"dist": 0.3 + n / 1e4}))),
        )
        wait_for(lambda: idle(ioc), timeout=120, what="the end of the verification")
        show("commit", timed(20, lambda n: wire.transact(prefix, new_request({"dist": 0.4 + n / 1e4}))))
        show("activate by label", timed(20, lambda n: wire.transact(prefix, activate("near", n))))
        show("activate by number", timed(20, lambda n: wire.transact(prefix, activate(1 + n * (count // 20), n))))
        show("get History:List_RBV", timed(20, lambda _: wire.get_text(f"{prefix}History:List_RBV")))
    environment = {**ioc.environment(), "EPICS_CA_SERVER_PORT": str(ioc.port)}
    for verb in ("history", "--version"):
        command = [sys.executable, "-m", "ponikeeper", verb, *([] if verb.startswith("-") else [ioc.prefix])]
        run = lambda _, command=command: subprocess.run(command, env=environment, check=True, capture_output=True)  # noqa: E731
        show(f"ponikeeper {verb}", timed(5, run))


def activate(name: str | int, number: int) -> Activate:
    """Make a request with an id of its own."""
    return Activate(name, request=f"{name}-{number}-{time.monotonic_ns()}")


def idle(ioc: LiveIoc) -> bool:
    """Check whether the IOC used at most a tenth of a core in the last half second."""
    assert ioc.process is not None
    stat = Path(f"/proc/{ioc.process.pid}/stat")

    def ticks() -> int:
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(0.5)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") < 0.05


def timed(rounds: int, work: Callable[[int], object]) -> list[float]:
    """Return the seconds that each round of some work took."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return times


def show(what: str, times: list[float]) -> None:
    """Print one line of figures."""
    print(f"  {what:34} median {statistics.median(times) * 1e3:8.1f} ms, longest {max(times) * 1e3:8.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 10)
