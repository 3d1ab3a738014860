"""Duration of the fit of a 4-megapixel image, compared with pyFAI's own extraction and refinement in the same run.

python tests/bench/bench_fit.py [RUNS]

The real nickel image where it is there, else a simulated one. Both start at the geometry that the fit finds, for
pyFAI gets nowhere from farther away; the fit is timed from displaced starts, without a start, and where it refuses
(the standard is another one) too. The goals on an idle machine with two cores are 0.5 s from a start, 3 s without
one (medians), and 5 s for a refusal; CPU times and the ratios to pyFAI alone depend less on the load.
"""

import contextlib
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np

import pyfai_alone
from ponikeeper.errors import FitError
from ponikeeper_client.fit._acceptance import BLIND_START
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import Real, Scene, displaced, on_detector, real_nickel

RUNS = 7
RINGS = 20
OTHER = "LaB6"
"""A standard that the image does not show."""

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"


def material():
    """Return the image to fit, and its name."""
    if (REAL / "manifest.json").exists():
        return real_nickel(REAL), "real Ni"
    truth = on_detector("Perkin", 2e-4, 0.2344, (0.495, 0.49), (0.1, 0.1))
    image = Scene(truth, counts=200).image()
    return Real(image, image < 0, truth, "Ni"), "simulated Ni"


def seconds(call):
    """Time one call; return its duration and its CPU time, of all threads (s)."""
    began, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - used


def main():
    warnings.simplefilter("ignore")
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    real, name = material()
    standard = calibrant(real.calibrant)

    def fit(start, **options):
        return fit_image(real.image, start, standard, mask=real.mask, **options)

    def refused(start):
        with contextlib.suppress(FitError):
            result = fit_image(real.image, start, calibrant(OTHER), mask=real.mask, tolerance=BLIND_START)
            assert not result.accepted

    fitted = fit(real.published).geometry  # and whatever is imported or built once is there now
    starts = [displaced(fitted, np.random.default_rng(seed)) for seed in range(runs)]
    kinds = {
        "fit_image": lambda _: fit(fitted),
        "fit_image, start displaced": fit,
        "fit_image, no start": lambda start: fit(start, tolerance=BLIND_START),
        "fit_image, another standard, no start": refused,
        f"pyFAI: extract_cp({RINGS} rings) + refine3": lambda _: pyfai_alone.calibrate(
            real.image, real.mask, fitted, standard, RINGS
        ),
    }
    times = {kind: [] for kind in kinds}
    for start in starts:  # in turn, so that all of them meet the same load
        for kind, call in kinds.items():
            times[kind].append(seconds(lambda call=call, start=start: call(start)))
    shape = " x ".join(map(str, real.image.shape))
    print(f"{name}, {shape}, {runs} runs each, in turn; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores (s)")
    alone = statistics.median(duration for duration, _ in times[list(kinds)[-1]])
    for kind, values in times.items():
        durations, used = zip(*values, strict=True)
        median = statistics.median(durations)
        print(
            f"{kind:<40} median {median:6.2f}   best {min(durations):6.2f}   worst {max(durations):6.2f}   "
            f"CPU {statistics.median(used):6.2f}   {median / alone:5.2f} of pyFAI alone"
        )


if __name__ == "__main__":
    main()
