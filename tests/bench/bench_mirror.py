"""Size and times of a mirror in a local Tiled: the histories of many detectors over ten years.

python tests/bench/bench_mirror.py [DETECTORS] [REVISIONS]

1,000 revisions of a detector are two calibrations a week for ten years; one in ten is corrected. The histories are read
from a live IOC that serves all detectors.
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from live import LiveIoc, free_ports, serving

QUERIES = 5
ROUNDS = 3


def measure(name, action, times=QUERIES):
    """Print the median duration of an action."""
    durations = []
    for number in range(times):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):  # a line for each detector
            action(number)
        durations.append(time.perf_counter() - began)
    print(f"{name:<56} {statistics.median(durations):.2f} s (median of {times})", flush=True)


def main(detectors, revisions):
    port, repeater = free_ports(2)
    os.environ |= {
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(repeater),
        "EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ioc = LiveIoc(folder, port, "BL", tuple(f"{{Det:{number}}}Calib:" for number in range(detectors)))
        fill(ioc, revisions)
        with serving(ioc):
            measure_mirror(ioc, folder)


def fill(ioc, revisions):
    """Store a history for each detector of an IOC."""
    from recalling import history, judge
    from stores import store_history

    corrections = [judge(n, 10 * n, by=10 * n - 1) for n in range(1, revisions // 10 + 1)]
    for prefix in ioc.prefixes:
        store_history(ioc.store, history(revisions, corrections, prefix=prefix))


def measure_mirror(ioc, folder):
    from tiled.client import from_uri

    from catalogs import tiled_server
    from ponikeeper_client.recall import best_known, read_history, timeline
    from ponikeeper_client.recall._mirror_command import Copies
    from recalling import configured, revision, snapshot, taken

    server = tiled_server(folder)
    client = from_uri(server.uri)
    copies = Copies(client)
    prefixes, now = ioc.prefixes, 0.0
    measure("first copy of all detectors", lambda _: copies.copy(prefixes, now), 1)
    size = (folder / "catalog.db").stat().st_size / 1e6
    print(f"{len(prefixes)} detectors: {size:.0f} MB in SQLite")
    measure("next copy of all with --every, nothing new", lambda _: copies.copy(prefixes, now), ROUNDS)
    measure("whole copy of all again, nothing new", lambda _: Copies(client).copy(prefixes, now), 1)
    measure("read_history from the IOC (one detector)", lambda n: read_history(prefixes[-1 - n]))
    measure("read_history from the mirror (one detector)", lambda n: read_history(prefixes[-1 - n], mirror=client))
    run = taken([("primary", configured(snapshot(revision(10, prefix=prefixes[0]), prefix=prefixes[0])), [1.0])])
    measure("best_known of a run from the mirror", lambda _: best_known(run, history=client))
    read = read_history(prefixes[0], mirror=client)
    measure("timeline of what was read", lambda _: timeline(read))
    client.context.close()
    server.close()


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], "100", "1000"][:2]))
