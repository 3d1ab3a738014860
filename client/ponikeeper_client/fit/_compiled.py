"""Passes over all pixels compiled by numba, an optional extra: the same sums as of `_profile_sums`, much faster."""

import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, beam_direction, transverse_axes
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._profile_sums import ENTRIES_PER_PX, MIN_COSINE, ProfileSums, tables_of_lines

_THREADS = min(4, os.cpu_count() or 1)


def _sum_rows(
    image: Any, valid: Any, y: Any, x: Any, beam: Any, axis1: Any, axis2: Any, shift: Any, distance: Any, pixel: Any,
    near_first: Any, near_last: Any, entries: Any, tangents: Any, reaches: Any, sectors: Any, first: Any,
    bins: Any, out: Any, azimuths: Any,
) -> None:  # fmt: skip
    """Add the pixels of some rows; arguments as prepared by `sum_profiles`."""
    b1, b2, b3 = beam
    per_tangent = distance / pixel * entries
    largest = near_last.size - 1
    clipped = 1 / math.cos(1.4) ** 2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if not valid[row, column]:
                continue
            q1, q2, q3 = y[row, column] - shift[0], x[row, column] - shift[1], shift[2]
            along = q1 * b1 + q2 * b2 + q3 * b3
            if along <= 0:
                continue
            square = q1 * q1 + q2 * q2 + q3 * q3
            across = math.sqrt(max(square - along * along, 0.0))
            entry = int(min(per_tangent * across / along, largest))
            if near_last[entry] < 0:
                continue
            scale = distance * min(square / (along * along), clipped) / pixel
            chi = np.nan
            for line in range(near_first[entry], near_last[entry] + 1):
                offset = scale * math.atan2(across - along * tangents[line], along + across * tangents[line])
                reach = reaches[line]
                if not abs(offset) < reach:
                    continue
                if math.isnan(chi):
                    chi = math.atan2(
                        q1 * axis2[0] + q2 * axis2[1] + q3 * axis2[2], q1 * axis1[0] + q2 * axis1[1] + q3 * axis1[2]
                    )
                sector = first[line] + int(min((chi + math.pi) / (2 * math.pi) * sectors[line], sectors[line] - 1))
                part = min(max(int((offset / reach + 1) / 2 * bins), 0), bins - 1)
                cell = sector * bins + part
                out[cell, 0] += 1
                out[cell, 1] += image[row, column]
                out[cell, 2] += offset
                azimuths[sector] += chi


def _sum_radii(
    image: Any, valid: Any, y: Any, x: Any, beam: Any, shift: Any, distance: Any, highest: Any, least: Any, out: Any
) -> None:
    """Add the pixels of some rows by radius; arguments as prepared by `sum_by_radius`."""
    b1, b2, b3 = beam
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if not valid[row, column]:
                continue
            q1, q2, q3 = y[row, column] - shift[0], x[row, column] - shift[1], shift[2]
            along, square = q1 * b1 + q2 * b2 + q3 * b3, q1 * q1 + q2 * q2 + q3 * q3
            if not along > least * math.sqrt(square):
                continue
            radius = int(distance * math.sqrt(max(square / (along * along) - 1, 0.0)))
            out[radius, 0] += 1
            out[radius, 1] += min(image[row, column], highest)


_njit = cast("Any", numba).njit(nogil=True, cache=True)
_compiled_sum_rows, _compiled_sum_radii = _njit(_sum_rows), _njit(_sum_radii)


def sum_profiles(
    frame: Frame, params: Floats, lines: Floats, reaches: Floats, sectors: NDArray[np.intp], bins: int
) -> ProfileSums:
    """Sum the pixels near lines; parameters and result as `_passes.sum_profiles`."""
    near_first, near_last = tables_of_lines(lines, reaches, params[DISTANCE] / frame.pixel)
    first = np.r_[0, np.cumsum(sectors)].astype(np.int64)
    beam, shift = _beam_and_shift(params)
    axis1, axis2 = transverse_axes(params)

    def sums_of(part: slice) -> tuple[Floats, Floats]:
        sums, azimuths = np.zeros((int(first[-1]) * bins, 3)), np.zeros(int(first[-1]))
        _compiled_sum_rows(
            frame.image[part], frame.valid[part], frame.y[part], frame.x[part], beam, axis1, axis2, shift,
            float(params[DISTANCE]), frame.pixel, near_first, near_last, ENTRIES_PER_PX, np.tan(lines), reaches,
            sectors.astype(np.int64), first, bins, sums, azimuths,
        )  # fmt: skip
        return sums, azimuths

    sums, azimuths = _summed(frame, sums_of)
    counts, intensities, offsets = sums.T.reshape(3, -1, bins)
    return ProfileSums(counts, intensities, offsets, azimuths)


def sum_by_radius(frame: Frame, params: Floats, highest: float) -> tuple[Floats, Floats]:
    """Sum the pixels by radius; parameters and result as `_passes.sum_by_radius`."""
    beam, shift = _beam_and_shift(params)
    distance = float(params[DISTANCE] / frame.pixel)
    size = int(distance / MIN_COSINE) + 1

    def sums_of(part: slice) -> tuple[Floats]:
        sums = np.zeros((size, 2))
        _compiled_sum_radii(
            frame.image[part], frame.valid[part], frame.y[part], frame.x[part], beam, shift, distance, highest,
            MIN_COSINE, sums,
        )  # fmt: skip
        return (sums,)

    (sums,) = _summed(frame, sums_of)
    used = int(np.flatnonzero(sums[:, 0]).max(initial=-1)) + 1
    return sums[:used, 0], sums[:used, 1]


def _beam_and_shift(params: Floats) -> tuple[Floats, Floats]:
    """Return the direction of the beam, and what a point on the detector minus it is the ray to the point (m)."""
    beam = np.array(beam_direction(params[3], params[4]))
    return beam, np.r_[params[1:3] - params[DISTANCE] * beam[:2], params[DISTANCE] * beam[2]]


def _summed(frame: Frame, sums_of: Callable[[slice], tuple[Floats, ...]]) -> list[Floats]:
    """Add up the sums over parts of the rows, which run at the same time."""
    edges = np.linspace(0, len(frame.image), _THREADS + 1).astype(int)
    parts = [slice(begin, end) for begin, end in itertools.pairwise(edges)]
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(sums_of, parts))
    return [np.sum(arrays, axis=0) for arrays in zip(*results, strict=True)]
