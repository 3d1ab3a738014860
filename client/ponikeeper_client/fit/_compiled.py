"""Passes over all pixels compiled by numba, an optional extra: the same sums as of `_profile_sums`, much faster."""

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, beam_direction, transverse_axes
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._profile_sums import ENTRIES_PER_PX, ProfileSums, table_of_lines

_THREADS = min(4, os.cpu_count() or 1)


def _sum_rows(
    image: Any, valid: Any, y: Any, x: Any, beam: Any, axis1: Any, axis2: Any, shift: Any, distance: Any, pixel: Any,
    near: Any, entries: Any, lines: Any, middles: Any, widths: Any, sectors: Any, first: Any, bins: Any, out: Any,
    azimuths: Any,
) -> None:  # fmt: skip
    """Add the pixels of some rows; arguments as prepared by `sum_profiles`."""
    b1, b2, b3 = beam
    reach = distance / pixel
    last = near.size - 1
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if not valid[row, column]:
                continue
            q1, q2, q3 = y[row, column] - shift[0], x[row, column] - shift[1], shift[2]
            along = q1 * b1 + q2 * b2 + q3 * b3
            if along <= 0:
                continue
            across = math.sqrt(max(q1 * q1 + q2 * q2 + q3 * q3 - along * along, 0.0))
            entry = min(reach * across / along * entries, last)
            if not near[int(entry)]:
                continue
            angle = math.atan2(across, along)
            line = np.searchsorted(middles, angle)
            offset = (angle - lines[line]) * distance / math.cos(min(angle, 1.4)) ** 2 / pixel
            width = widths[line]
            if not abs(offset) < width:
                continue
            chi = math.atan2(
                q1 * axis2[0] + q2 * axis2[1] + q3 * axis2[2], q1 * axis1[0] + q2 * axis1[1] + q3 * axis1[2]
            )
            sector = first[line] + int(min((chi + math.pi) / (2 * math.pi) * sectors[line], sectors[line] - 1))
            part = min(max(int((offset / width + 1) / 2 * bins), 0), bins - 1)
            cell = sector * bins + part
            out[0, cell] += 1
            out[1, cell] += image[row, column]
            out[2, cell] += offset
            azimuths[sector] += chi


_compiled_sum_rows = cast("Any", numba).njit(nogil=True, cache=True)(_sum_rows)


def sum_profiles(
    frame: Frame, params: Floats, lines: Floats, widths: Floats, sectors: NDArray[np.intp], bins: int
) -> ProfileSums:
    """Sum the pixels near lines; parameters and result as `_passes.sum_profiles`."""
    measured = widths > 0
    near = table_of_lines(lines[measured], widths[measured], params[DISTANCE] / frame.pixel)
    first = np.r_[0, np.cumsum(sectors)].astype(np.int64)
    beam = np.array(beam_direction(params[3], params[4]))
    shift = np.r_[params[1:3] - params[DISTANCE] * beam[:2], params[DISTANCE] * beam[2]]
    axis1, axis2 = transverse_axes(params)
    middles = (lines[1:] + lines[:-1]) / 2

    def sums_of(part: slice) -> tuple[Floats, Floats]:
        sums, azimuths = np.zeros((3, int(first[-1]) * bins)), np.zeros(int(first[-1]))
        _compiled_sum_rows(
            frame.image[part], frame.valid[part], frame.y[part], frame.x[part], beam, axis1, axis2, shift,
            float(params[DISTANCE]), frame.pixel, near, ENTRIES_PER_PX, lines, middles, widths,
            sectors.astype(np.int64), first, bins, sums, azimuths,
        )  # fmt: skip
        return sums, azimuths

    edges = np.linspace(0, len(frame.image), _THREADS + 1).astype(int)
    parts = [slice(begin, end) for begin, end in itertools.pairwise(edges)]
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(sums_of, parts))
    sums = np.sum([result[0] for result in results], axis=0).reshape(3, -1, bins)
    counts, intensities, offsets = sums
    return ProfileSums(counts, intensities, offsets, np.sum([result[1] for result in results], axis=0))
