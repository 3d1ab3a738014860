"""Calibration by pyFAI alone, for comparison with the fit: extraction of points, then refinement."""

import copy
import logging
from dataclasses import replace

import numpy as np

from powder import FITTED, integrator

FIXED = ("rot3", "wavelength")
"""What one image cannot tell: without this the wavelength runs away."""


def calibrate(image, mask, start, calibrant, rings):
    """Calibrate an image with pyFAI alone.

    Parameters
    ----------
    rings
        How many it takes at most, from the innermost on.

    Returns
    -------
    Geometry or None
        None where it failed.
    """
    begin = copy.deepcopy(integrator(start))
    if begin.detector.mask is not None:
        mask = mask | (begin.detector.mask != 0)
    begin.detector.mask = mask.astype(np.int8)
    return _calibrated(np.where(mask, -1, image), begin, start, calibrant.pyfai(start.wavelength), rings)


def _calibrated(image, begin, start, standard, rings):
    from pyFAI.goniometer import SingleGeometry

    logging.disable(logging.WARNING)
    try:
        single = SingleGeometry("one", image, calibrant=standard, detector=begin.detector, geometry=begin)
        single.extract_cp(max_rings=rings)
        single.geometry_refinement.refine3(fix=list(FIXED))
    except (ValueError, IndexError, AssertionError, AttributeError, TypeError):  # with no points it stumbles
        return None
    finally:
        logging.disable(logging.NOTSET)
    return geometry_of(single.geometry_refinement, start)


def geometry_of(refinement, template):
    """Return the geometry that pyFAI refined; all other values are the template's."""
    return replace(template, **{name: float(getattr(refinement, name)) for name in FITTED})
