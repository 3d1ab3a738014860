"""What the options of a fit may say of motors and ranges. Pure."""

import math

_LARGEST_SCALE = 0.1
"""Largest relative standard deviation of the scale of a motor, as in the configuration of a link."""

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
    largest = _LARGEST_SCALE if option == "--scale-sigma" else math.inf
    if 0 <= sigma <= largest and math.isfinite(sigma):
        return None
    expected = "0 or more, in the units of the link" if math.isinf(largest) else f"from 0 to {largest:g}, relative"
    number = EXAMPLES[option].partition("=")[2]
    return f"{option} {link}={sigma!r} is no standard deviation: expected {expected}, such as {option} {link}={number}"


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
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{given} has no end: expected {link}=low,high, two numbers"
    if low > high:
        return f"{given} has its larger end first: type --range {link}={high!r},{low!r}"
    if low == high:
        return f"{given} has no length: expected {link}=low,high, low below high"
    if is_beam and low <= 0:
        return f"{given} is not possible: expected more than 0 for the energy or the wavelength"
    return None
