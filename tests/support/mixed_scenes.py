"""Random images of a wide mix, with a known truth: 14 panels, 7 standards, every orientation, ten kinds of scene.

Each image has a smooth distortion of the panel, as real ones have: it displaces the rings, and the parameters absorb
part of it.
"""

from dataclasses import replace

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._forward_model import geometry_of
from powder import Scene, detector_of, lines_of, two_theta

PANELS = (
    ("Perkin", None), ("Pilatus1M", None), ("Pilatus2M", None), ("Pilatus300k", None), ("Pilatus2MCdTe", None),
    ("Eiger2_4M", None), ("Eiger2_1M", None), ("RayonixMx225", None), ("Mar165", None),
    ("Detector", (1440, 1440, 3e-4, 3e-4)), ("Detector", (2048, 2048, 2e-4, 2e-4)),
    ("Detector", (1536, 1024, 1e-4, 1.5e-4)), ("Detector", (1024, 2048, 2e-4, 1e-4)),
    ("Detector", (1024, 1024, 4e-4, 4e-4)),
)  # fmt: skip
"""Name, and rows, columns and pixel size (m) of a panel that pyFAI does not know by a name."""

SMALL = (("Pilatus300k", None), ("Detector", (768, 768, 2e-4, 2e-4)))
"""Panels with few pixels, for short tests."""

STANDARDS = ("Ni", "LaB6", "CeO2", "Si", "AgBh", "alpha_Al2O3", "Cr2O3")

ON, ANY = ((0.2, 0.8), (0.2, 0.8)), ((-0.3, 1.3), (-0.3, 1.3))
EDGE = ((-0.05, 1.05), (-0.05, 0.08))
OFF = ((0.0, 1.0), (-0.8, -0.12))

KINDS = {
    "plain": {"spot": ON, "tilt": (0, 4)},
    "tilted": {"spot": ON, "tilt": (5, 25)},
    "steep": {"spot": ANY, "tilt": (25, 45)},
    "edge": {"spot": EDGE, "tilt": (0, 8)},
    "off": {"spot": OFF, "tilt": (0, 8)},
    "weak": {"spot": ON, "tilt": (0, 6), "counts": (3, 15), "background": (0.5, 3), "texture": 0.6},
    "spotty": {"spot": ON, "tilt": (0, 6), "spots": (0.4, 0.8), "texture": 0.4},
    "dirty": {"spot": ON, "tilt": (0, 6), "background": (0.3, 1.5), "dirty": True},
    "two phases": {"spot": ON, "tilt": (0, 6), "impurity": (0.1, 0.5)},
    "few rings": {"spot": ON, "tilt": (0, 4), "rings": (3, 4)},
}
"""Beam spot as parts of the panel's sides, tilt (deg), and how the rings are seen."""

DISTORTION = 0.1
"""Of the panels (px rms)."""

_RINGS = (5, 400)
_MOST_TILTED = 1.3
_SMALLEST = 25.0
"""Radius of the innermost ring that counts (px)."""

_APART = 8.0
_TRIES = 3000


def mixed_scene(kind, seed, distortion=DISTORTION, panels=None):
    """Build a random scene of a kind on one of the panels: the same one for the same seed."""
    random, like = np.random.default_rng((list(KINDS).index(kind), seed)), KINDS[kind]
    low, high = like.get("rings", _RINGS)
    for _ in range(_TRIES):
        width = random.uniform(1.8, 4.5)
        truth, standard = _random_geometry(random, like, panels or PANELS), str(random.choice(STANDARDS))
        truth = replace(truth, wavelength=_wavelength(random, standard))
        if low <= visible_rings(truth, standard, width) <= high:
            break
    else:
        raise ValueError(f"no scene of kind {kind} in {_TRIES} tries")
    dirty = like.get("dirty", False)
    return Scene(
        truth,
        standard,
        width,
        counts=float(np.exp(random.uniform(*np.log(like.get("counts", (25, 2500)))))),
        background=random.uniform(*like.get("background", (0.05, 0.8))),
        stop=random.uniform(8, 30),
        texture=like.get("texture", 0.0) * random.uniform(0.3, 1),
        spots=random.uniform(*like["spots"]) if "spots" in like else 0.0,
        impurity=_impurity(random, standard, like.get("impurity")),
        distortion=distortion,
        pedestal=dirty,
        saturated=0.003 if dirty else 0.0,
        halo=dirty,
        seed=seed,
    )


def visible_rings(truth, standard, width):
    """Count the rings on a panel; 0 if the first ones overlap, or the panel reaches too far around the sample."""
    angle = two_theta(truth)[::16, ::16]
    pixel = np.sqrt(truth.pixel1 * truth.pixel2)
    lines = lines_of(standard, truth.wavelength)
    visible = lines[(lines > max(angle.min(), _SMALLEST * pixel / truth.dist)) & (lines < np.quantile(angle, 0.98))]
    if angle.max() > _MOST_TILTED or len(visible) < 2:
        return 0
    apart = np.diff(visible[:5]).min() * truth.dist / pixel
    return len(visible) if apart >= max(_APART, 3 * width) else 0


def _random_geometry(random, like, panels):
    """Draw panel, orientation, distance, beam spot and tilt; the wavelength is still missing."""
    name, panel = panels[random.integers(len(panels))]
    config = {"orientation": int(random.integers(1, 5))}
    if panel is None:
        detector = detector_of(Geometry(1, 0, 0, 0, 0, 0, *_pixels(name), 1e-10, name, config))
        pixel1, pixel2 = detector.pixel1, detector.pixel2
    else:
        *shape, pixel1, pixel2 = panel
        config["max_shape"] = list(shape)
    template = Geometry(1, 0, 0, 0, 0, 0, pixel1, pixel2, 1e-10, name, config)
    rows, columns = detector_of(template).shape
    y, x = (random.uniform(*limits) for limits in like["spot"])
    if like["spot"] in (EDGE, OFF) and random.random() < 0.5:
        x = 1 - x  # the opposite side
    tilt, turn = np.radians(random.uniform(*like["tilt"])), random.uniform(0, 2 * np.pi)
    dist = float(np.exp(random.uniform(np.log(0.07), np.log(4.0))))
    params = [dist, y * rows * pixel1, x * columns * pixel2, tilt * np.cos(turn), tilt * np.sin(turn)]
    return geometry_of(np.array(params), template)


def _pixels(name):
    from pyFAI.detectors import detector_factory

    detector = detector_factory(name)
    return detector.pixel1, detector.pixel2


def _wavelength(random, standard):
    if standard == "AgBh":
        return float(random.uniform(0.7e-10, 1.6e-10))
    return float(np.exp(random.uniform(np.log(0.14e-10), np.log(1.6e-10))))


def _impurity(random, standard, strength):
    """Draw the second phase: its standard, and how strong it is relative to the first."""
    if strength is None:
        return None
    others = [name for name in STANDARDS if name not in (standard, "AgBh")]
    return str(random.choice(others)), float(random.uniform(*strength))
