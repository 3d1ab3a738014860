"""Where the rings of a powder image lie, against where its standard says they are."""

import itertools

import numpy as np

_SECTORS = 36
_BINS = 4000
_SIGNIFICANT = 8.0


def fcc(lattice):
    """List the lattice spacings of an fcc powder, its lattice parameter given in the same unit, descending."""
    squares = {h * h + k * k + m * m for h, k, m in itertools.product(range(13), repeat=3) if h % 2 == k % 2 == m % 2}
    return lattice / np.sqrt(sorted(squares - {0})[:30])


def two_theta_residuals(integrator, image, mask, spacings, window=0.2):
    """Measure, ring by ring and sector by sector, how far the peaks are from the standard's angles.

    Parameters
    ----------
    integrator
        Of pyFAI, with the geometry under test and its wavelength.
    image, mask
        Shape (y, x); True is masked.
    spacings
        Of the standard (m).
    window
        Half width around each line (deg); lines nearer to one another than twice that are left out.

    Returns
    -------
    ndarray, shape (n, 2)
        Angle of the line and what the peak's centroid is off (deg).
    """
    sines = integrator.wavelength / (2 * spacings)
    lines = np.degrees(2 * np.arcsin(sines[sines < 1]))
    pattern = integrator.integrate2d(
        image, _BINS, _SECTORS, unit="2th_deg", mask=mask, method=("bbox", "csr", "cython")
    )
    result = []
    for line, gap in zip(lines, _gaps(lines), strict=True):
        if gap < 2 * window or line + window > pattern.radial[-1]:
            continue
        near = np.abs(pattern.radial - line) < window
        for intensity, count in zip(pattern.intensity[:, near], pattern.count[:, near], strict=True):
            centre = _centroid(pattern.radial[near], intensity, window) if (count > 0).all() else None
            if centre is not None:
                result.append((line, centre - line))
    return np.array(result)


def _gaps(lines):
    """Compute the distance of each line to its nearest neighbour."""
    steps = np.diff(lines, prepend=-np.inf, append=np.inf)
    return np.minimum(steps[:-1], steps[1:])


def _centroid(angle, intensity, window):
    """Compute the centroid of a peak above a straight background; None if no peak is high enough."""
    edge = max(3, len(angle) // 6)
    low, high = intensity[:edge].mean(), intensity[-edge:].mean()
    height = intensity - np.linspace(low, high, len(angle))
    noise = np.std(np.r_[intensity[:edge] - low, intensity[-edge:] - high])
    top = height.argmax()
    if height[top] < _SIGNIFICANT * noise:
        return None
    peak = (height > 0.3 * height[top]) & (np.abs(angle - angle[top]) < window / 2)
    return (height[peak] * angle[peak]).sum() / height[peak].sum()
