"""Images of powder standards whose geometry is known: simulated ones, and the real ones of the shared data.

The truth of a simulated image is pyFAI's own array of scattering angles, so that nothing of the fit
stands behind what the fit is measured against.
"""

import functools
import json
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from peaks import fcc
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.fit._forward_model import geometry_of

SPLIT = 16
"""Geometries are compared at every so many-th pixel along both axes."""

FITTED = ("dist", "poni1", "poni2", "rot1", "rot2")

_STEPS = 60_000
_DARKEST_STOP = 0.02


@dataclass(frozen=True)
class Scene:
    """What stands in the beam, and how it is seen.

    Parameters
    ----------
    truth
        The geometry that the image is made with.
    calibrant
        Name of the standard, or its lattice spacings (m).
    width
        Of the rings, full at half maximum (px).
    counts
        Of a strong ring in one pixel.
    background
        Relative to it.
    stop
        Radius of the beam stop (px); its arm goes to one side.
    texture, spots
        How uneven the rings are along their azimuth, smoothly and grain by grain (0 to 1).
    impurity
        A second standard, and how strong its rings are.
    distortion
        How far the pixels are from where they should be, smoothly over an eighth of the panel (px rms).
    pedestal, halo
        Whether the dark is left in the image, and whether there is a wide ring of another material.
    saturated
        Share of the pixels that are saturated.
    seed
        Of the noise and of the rings' strengths.
    """

    truth: Geometry
    calibrant: str | tuple[float, ...] = "Ni"
    width: float = 3.0
    counts: float = 300.0
    background: float = 0.2
    stop: float = 25.0
    texture: float = 0.0
    spots: float = 0.0
    impurity: tuple[str, float] | None = None
    distortion: float = 0.0
    pedestal: bool = False
    halo: bool = False
    saturated: float = 0.0
    seed: int = 0

    @property
    def pixel(self):
        return float(np.sqrt(self.truth.pixel1 * self.truth.pixel2))

    def expected(self):
        """Compute the mean counts of each pixel, without detector effects, shape (y, x)."""
        random = np.random.default_rng(self.seed)
        angle = self._seen_angles()
        intensity = self._rings(self.calibrant, angle, random)
        if self.impurity:
            intensity += self.impurity[1] * self._rings(self.impurity[0], angle, random)
        if self.texture:
            azimuth = integrator(self.truth).center_array(unit="chi_rad")
            intensity *= 1 + self.texture * np.cos(2 * azimuth + random.uniform(0, 6))
        if self.spots:
            grains = ndimage.gaussian_filter((random.random(angle.shape) < 0.02).astype(float), 1.0)
            intensity *= 1 - self.spots + self.spots * grains / grains.mean()
        air = 0.3 + np.exp(-angle / (0.35 * angle.max()))
        if self.halo:
            middle = random.uniform(0.15, 0.6) * angle.max()
            air += np.exp(-0.5 * ((angle - middle) / (0.05 * angle.max())) ** 2)
        return self.counts * (intensity + self.background * air) * np.cos(angle) ** 3 + 1

    def image(self, noise=1):
        """Simulate one exposure: noise, hot pixels, shadow of the beam stop, -1 in the gaps; int32, shape (y, x)."""
        random = np.random.default_rng((self.seed, noise))
        mean = self.expected()
        mean[self._shadow()] *= _DARKEST_STOP
        image = random.poisson(mean).astype(np.int32)
        if self.pedestal:
            image += _pedestal(image.shape, random)
        hot = random.integers(0, image.size, image.size // 50_000)
        image.flat[hot] = random.integers(1_000, 100_000, len(hot))
        if self.saturated:
            image = np.minimum(image, int(np.quantile(image, 1 - self.saturated)))
        mask = detector_of(self.truth).mask
        if mask is not None and mask.shape == image.shape:
            image[mask != 0] = -1
        return image

    @functools.cached_property
    def _angles(self):
        """Scattering angle of each pixel (rad), shape (y, x)."""
        return two_theta(self.truth)

    def _seen_angles(self):
        """Compute the scattering angle where each pixel is in truth (rad), shape (y, x)."""
        if not self.distortion:
            return self._angles
        shape = detector_of(self.truth).shape
        y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
        shift_y, shift_x = distortion_field(shape, self.distortion, np.random.default_rng((self.seed, 3)))
        return integrator(self.truth).tth(y + shift_y, x + shift_x)

    def _rings(self, calibrant, angle, random):
        lines = lines_of(calibrant, self.truth.wavelength)
        strength = np.exp(random.normal(-0.4, 0.7, len(lines)))
        sigma = self.width / 2.3548 * self.pixel / self.truth.dist
        grid = np.linspace(0, angle.max() + 0.01, _STEPS)
        profile = np.zeros(_STEPS)
        for line, height in zip(lines, strength, strict=True):
            near = slice(*np.searchsorted(grid, (line - 6 * sigma, line + 6 * sigma)))
            profile[near] += height * np.exp(-0.5 * ((grid[near] - line) / sigma) ** 2)
        return np.interp(angle, grid, profile)

    def _shadow(self):
        angle = self._angles
        behind = np.tan(np.minimum(angle, 1.5)) * self.truth.dist < self.stop * self.pixel
        if not behind.any():
            return behind
        row = np.unravel_index(np.argmin(angle), angle.shape)[0]
        rows = np.arange(angle.shape[0])
        behind[np.abs(rows - row) < 0.008 * len(rows), angle.shape[1] // 2 :] = True
        return behind


def distortion_field(shape, rms, random):
    """Draw a smooth displacement of the pixels along both axes (px), shape (2, y, x); correlated over 1/8 of them."""
    coarse = ndimage.gaussian_filter(random.normal(size=(2, 32, 32)), (0, 4, 4))
    coarse *= rms / coarse.std(axis=(1, 2), keepdims=True)
    scale = np.array(shape) / 32
    return np.stack([ndimage.zoom(each, scale, order=3, grid_mode=True, mode="nearest") for each in coarse])


def _pedestal(shape, random):
    """Draw the dark of a panel: an offset, steps between its readouts, waves, noise."""
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    steps = 60 * (x // (shape[1] // 8) % 3)
    return (random.normal(0, 4, shape) + 200 + steps + 20 * np.sin(y / 37)).astype(np.int32)


def lines_of(calibrant, wavelength):
    """List a standard's scattering angles (rad), from pyFAI's list; of nickel from its lattice."""
    from pyFAI.calibrant import get_calibrant

    if isinstance(calibrant, tuple):
        spacings = np.array(calibrant)
    else:
        spacings = fcc(3.524e-10) if calibrant == "Ni" else np.array(get_calibrant(calibrant).dspacing) * 1e-10
    sines = wavelength / 2 / spacings
    return 2 * np.arcsin(sines[sines < 1])


@functools.lru_cache(maxsize=4)
def _of_detector(name, pixel1, pixel2, orientation, shape=None):
    from pyFAI.detectors import detector_factory

    config = {"pixel1": pixel1, "pixel2": pixel2, "orientation": orientation}
    return detector_factory(name, config if shape is None else {**config, "max_shape": list(shape)})


def detector_of(geometry):
    """Build pyFAI's detector of a geometry."""
    shape = geometry.detector_config.get("max_shape")
    shape = None if shape is None else tuple(shape)
    return _of_detector(geometry.detector, geometry.pixel1, geometry.pixel2, geometry.orientation, shape)


def integrator(geometry):
    """Build pyFAI's integrator of a geometry, by pyFAI alone."""
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = detector_of(geometry)
    numbers = {name: getattr(geometry, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")}
    return AzimuthalIntegrator(**numbers, detector=detector, wavelength=geometry.wavelength)


def two_theta(geometry):
    """Compute pyFAI's scattering angle of each pixel (rad), shape (y, x)."""
    return integrator(geometry).array_from_unit(unit="2th_rad")


def off_px(truth, found):
    """Compute the distance between the rings of two geometries, rms over the detector (px)."""
    rows, columns = detector_of(truth).shape
    y, x = np.mgrid[:rows:SPLIT, :columns:SPLIT].astype(float)
    one, other = (integrator(geometry).tth(y, x) for geometry in (truth, found))
    scale = truth.dist / np.cos(np.minimum(one, 1.4)) ** 2 / np.sqrt(truth.pixel1 * truth.pixel2)
    return float(np.sqrt(np.mean(((other - one) * scale) ** 2)))


def displaced(geometry, random, distance=0.05, spot=30.0, degrees=2.0):
    """Move a geometry at random: distance (relative), each direction (px) and each rotation up to these."""
    turn = np.radians(degrees)
    return replace(
        geometry,
        dist=geometry.dist * (1 + random.uniform(-distance, distance)),
        poni1=geometry.poni1 + random.uniform(-spot, spot) * geometry.pixel1,
        poni2=geometry.poni2 + random.uniform(-spot, spot) * geometry.pixel2,
        rot1=geometry.rot1 + random.uniform(-turn, turn),
        rot2=geometry.rot2 + random.uniform(-turn, turn),
    )


def on_detector(name, pixel, dist, spot, tilt=(0.0, 0.0), wavelength=1.663e-11, orientation=3):
    """Build a geometry.

    Parameters
    ----------
    dist
        From the sample to the beam spot, along the beam (m).
    spot
        Of the beam, as parts of the detector's sides (0 to 1 is on it).
    tilt
        Rotations 1 and 2 (deg).
    """
    detector = _of_detector(name, pixel, pixel, orientation)
    y, x = (part * side * pixel for part, side in zip(spot, detector.shape, strict=True))
    template = Geometry(dist, 0, 0, 0, 0, 0, pixel, pixel, wavelength, name, {"orientation": orientation})
    return geometry_of(np.array([dist, y, x, *np.radians(tilt)]), template)


@dataclass(frozen=True)
class Real:
    """A real image, the dark subtracted, with its mask and the geometry that was published for it."""

    image: np.ndarray
    mask: np.ndarray
    published: Geometry
    calibrant: str


def real_nickel(folder):
    """Read the XPD flat panel."""
    light, dark = (_read(folder / f"xpd_Ni/Ni_{kind}_frame.tiff") for kind in ("light", "dark"))
    mask = (dark == 0) | (dark == 65535) | (light == 65535)
    published = poni.read((folder / "xpd_Ni/calibration_for_detector.poni").read_bytes())
    return Real(light.astype(float) - dark, mask, published, "Ni")


def real_ceria(folder):
    """Read the Pilatus; its PONI holds for the image upside down."""
    image = np.flipud(_read(folder / "dioptas_CeO2/CeO2_Pilatus1M.tif"))
    published = poni.read((folder / "dioptas_CeO2/CeO2_Pilatus1M.poni").read_bytes())
    return Real(image, image < 0, replace(published, detector="Pilatus1M"), "CeO2")


def real_arc(folder):
    """Read the one short arc of LaB6, and the wavelength it was taken with (m)."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = (one for one in manifest if one["name"] == "ssrl_LaB6")
    return np.fromfile(folder / entry["image"], np.int32).reshape(195, 1475), entry["wavelength_m"]


def _read(path):
    import fabio

    with fabio.open(path) as file:
        return np.array(file.data)


KINDS = {
    "facing": {"spot": ((0.2, 0.8), (0.2, 0.8)), "tilt": 3},
    "tilted": {"spot": ((0.2, 0.8), (0.2, 0.8)), "tilt": 18},
    "edge": {"spot": ((0.1, 0.9), (-0.05, 0.08)), "tilt": 8},
    "off": {"spot": ((0.1, 0.9), (-0.7, -0.15)), "tilt": 8},
    "weak": {"spot": ((0.2, 0.8), (0.2, 0.8)), "tilt": 6, "counts": (4, 20), "background": (0.5, 2), "texture": 0.7},
    "spotty": {"spot": ((0.2, 0.8), (0.2, 0.8)), "tilt": 6, "spots": 0.7, "texture": 0.4},
}
"""What a random scene is like: where the beam meets the detector, and how well the rings are seen."""

_DETECTORS = (("Pilatus1M", 1.72e-4), ("Pilatus300k", 1.72e-4), ("Eiger1M", 7.5e-5), ("Perkin", 4e-4))
_STANDARDS = {"Ni": 1.6e-10, "LaB6": 1.6e-10, "CeO2": 1.6e-10, "Si": 1.6e-10, "AgBh": 1.6e-10}
_FEWEST_SEEN, _APART = 5, 9


def random_scene(kind, seed):
    """Build a random scene: detector, orientation, standard, wavelength, distance, beam spot and tilt.

    At least five rings are on the detector, and the first of them stand apart.
    """
    random, like = np.random.default_rng((sorted(KINDS).index(kind), seed)), KINDS[kind]
    while True:
        name, pixel = _DETECTORS[random.integers(len(_DETECTORS))]
        standard = sorted(_STANDARDS)[random.integers(len(_STANDARDS))]
        shortest = 0.8e-10 if standard == "AgBh" else 0.15e-10
        wavelength = random.uniform(shortest, _STANDARDS[standard])
        tilt = random.uniform(0, like["tilt"]) * np.array([np.cos(turn := random.uniform(0, 6.28)), np.sin(turn)])
        spot = [random.uniform(*limits) for limits in like["spot"]]
        dist, orientation = float(np.exp(random.uniform(np.log(0.08), np.log(2)))), int(random.integers(1, 5))
        truth = on_detector(name, pixel, dist, spot, tilt, wavelength, orientation)
        width = random.uniform(2, 4.5)
        if _is_seen(truth, standard, width):
            break
    return Scene(
        truth,
        standard,
        width,
        counts=float(np.exp(random.uniform(*np.log(like.get("counts", (30, 2000)))))),
        background=random.uniform(*like.get("background", (0.05, 0.8))),
        stop=random.uniform(10, 40),
        texture=like.get("texture", 0.0),
        spots=like.get("spots", 0.0),
        seed=seed,
    )


def _is_seen(truth, standard, width):
    angle = two_theta(truth)
    mask = integrator(truth).detector.mask
    seen = angle if mask is None else angle[mask == 0]
    lines = lines_of(standard, truth.wavelength)
    inner = max(seen.min(), 45 * truth.pixel1 / truth.dist)
    lines = lines[(lines > inner) & (lines < np.quantile(seen, 0.98))]
    if len(lines) < _FEWEST_SEEN or seen.max() > 1.2:
        return False
    return np.diff(lines[:_FEWEST_SEEN]).min() * truth.dist / truth.pixel1 > max(_APART, 3 * width)
