"""What the options of a fit may say of motors and ranges. Pure."""

import math

_LARGEST = {"--sigma": (1e9, "in the units of the link"), "--scale-sigma": (0.1, "relative")}
"""Largest standard deviation, by option: of a position, 1 m in nm; of a scale, as in the configuration of a link."""

EXAMPLES = {"--sigma": "z=0.005", "--scale-sigma": "z=1e-4", "--range": "tth=0,40"}
"""What to type, by option."""


def sigma_problem(option: str, link: str, sigma: float) -> str | None:
    """Check a standard deviation.

    Parameters
    ----------
    option
        ``--sigma``, in the units of the link, or ``--scale-sigma``, relative.
    link
        Name of the link.
    sigma
        The standard deviation.

    Returns
    -------
    str or None
        What is wrong with it; None if nothing is.
    """
    largest, units = _LARGEST[option]
    if 0 <= sigma <= largest:
        return None
    number = EXAMPLES[option].partition("=")[2]
    return (
        f"{option} {link}={sigma!r} is no standard deviation: expected 0 to {largest:g}, {units}, such as {option} "
        f"{link}={number}"
    )


def span_problem(link: str, low: float, high: float, *, is_beam: bool = False) -> str | None:
    """Check a declared range.

    Parameters
    ----------
    link
        Name of the link.
    low, high
        The range, in the units of the link.
    is_beam
        Whether the link is the energy or the wavelength.

    Returns
    -------
    str or None
        What is wrong with it; None if nothing is.
    """
    given = f"--range {link}={low!r},{high!r}"
    if not math.isfinite(high - low):
        return f"{given} has no end: expected {link}=low,high, two numbers"
    if low > high:
        return f"{given} has its larger end first: type --range {link}={high!r},{low!r}"
    if low == high:
        return f"{given} has no length: expected {link}=low,high, low below high"
    if is_beam and low <= 0:
        return f"{given} is not possible: expected more than 0 for the energy or the wavelength"
    return None
