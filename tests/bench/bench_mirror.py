"""Size and times of a mirror in a local Tiled: the histories of many detectors over ten years.

python tests/bench/bench_mirror.py [DETECTORS] [REVISIONS]

1,000 revisions of a detector are two calibrations a week for ten years; one in ten is corrected.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from tiled.client import from_uri

from catalogs import tiled_server
from ponikeeper_client.recall import best_known, timeline
from ponikeeper_client.recall._histories import read_history
from ponikeeper_client.recall._mirror import copy_history, make_mirror
from recalling import configured, history, judge, revision, snapshot, taken

QUERIES = 5


def measure(name, action, times=QUERIES):
    """Print the median duration of an action."""
    durations = []
    for number in range(times):
        began = time.perf_counter()
        action(number)
        durations.append(time.perf_counter() - began)
    print(f"{name:<48} {statistics.median(durations):.2f} s (median of {times})")


def main(detectors, revisions):
    prefixes = [f"BL{number:03}{{Det:1}}Calib:" for number in range(detectors)]
    corrections = [judge(n, 10 * n, by=10 * n - 1) for n in range(1, revisions // 10 + 1)]
    with tempfile.TemporaryDirectory() as name:
        server = tiled_server(Path(name))
        client = from_uri(server.uri)
        mirror = make_mirror(client)
        began = time.perf_counter()
        for prefix in prefixes:
            whole = history(revisions, corrections, prefix=prefix)
            copied = copy_history(mirror, whole)
        taken_for_all = time.perf_counter() - began
        size = (Path(name) / "catalog.db").stat().st_size / 1e6
        print(f"{detectors} detectors with {copied.total} records each: {size:.0f} MB, copied in {taken_for_all:.0f} s")
        measure("copied again, nothing new (one detector)", lambda _: copy_history(mirror, whole))
        measure("read_history (one detector)", lambda n: read_history(prefixes[-1 - n], mirror=client))
        found = snapshot(revision(10, prefix=prefixes[0]), prefix=prefixes[0])
        run = taken([("primary", configured(found), [1.0])])
        measure("best_known of a run", lambda _: best_known(run, history=client))
        read = read_history(prefixes[0], mirror=client)
        measure("timeline of what was read", lambda _: timeline(read))
        client.context.close()
        server.close()


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], "100", "1000"][:2]))
