"""Duration of `ponikeeper fit` as a whole process: from exec to the PONI file, and to the end with the picture.

python tests/bench/bench_fit_command.py [RUNS]

A simulated 1-megapixel image (Pilatus 1M, TIFF, LaB6), from a start that is 3 % off and from nothing. The goal is
1.5 s to the PONI file on an idle machine. CPU times depend less on what else runs than the others.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np

from ponikeeper.geometry import poni
from powder import Scene, off_px, on_detector

RUNS = 5
TRUTH = on_detector("Pilatus1M", 1.72e-4, 0.2, (0.45, 0.55), (2, -1), 4e-11)
START = replace(TRUTH, dist=TRUTH.dist * 1.03, poni1=TRUTH.poni1 + 2e-3, rot1=TRUTH.rot1 - 0.01)
KINDS = {
    "from a start": ("--start", "start.poni"),
    "from nothing": ("--energy", "30.99605", "--detector", "Pilatus1M"),
}
_POLL = 0.002


def write_files(folder):
    """Write the image and the start."""
    from fabio.tifimage import TifImage

    TifImage(data=Scene(TRUTH, "LaB6", counts=300).image().astype(np.int32)).write(str(folder / "image.tif"))
    (folder / "start.poni").write_text(poni.write(START))


def cpu_time(process):
    """Read the CPU time that a process has used (s), of user and system, as proc(5) has it."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(folder, words):
    """Run the command; return the times to the PONI file, of the CPU to it, and to the end (s)."""
    output = folder / "new.poni"
    output.unlink(missing_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ponikeeper", "fit", "image.tif", "--calibrant", "LaB6", *words, "-o", output],
        cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not output.exists():
        assert process.poll() is None, "the fit was rejected"
        time.sleep(_POLL)
    written, used = time.perf_counter() - began, cpu_time(process)
    assert process.wait() == 0
    assert off_px(TRUTH, poni.read(output.read_bytes())) < 0.1
    return written, used, time.perf_counter() - began


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        times = {kind: [] for kind in KINDS}
        for number in range(runs + 1):  # in turn, so that all of them meet the same load
            for kind, words in KINDS.items():
                measured = run(folder, words)
                if number:  # the first run reads the files of the libraries
                    times[kind].append(measured)
    print(f"{runs} runs each, in turn; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores (s)")
    for kind, values in times.items():
        for what, column in zip(("to the PONI", "CPU to it", "to the end"), zip(*values, strict=True), strict=True):
            median, best, worst = statistics.median(column), min(column), max(column)
            print(f"{kind}, {what:<12} median {median:6.2f}   best {best:6.2f}   worst {worst:6.2f}")


if __name__ == "__main__":
    main()
