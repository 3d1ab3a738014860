"""A model: a chain of joints with its uncertainty and range, and the geometry that it says for a position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, sqrt
from types import MappingProxyType
from typing import Self, cast

from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry.covariance import is_covariance
from ponikeeper.geometry.geometry import Geometry
from ponikeeper.geometry.kinematics import model_json
from ponikeeper.geometry.kinematics.chain import FREE, Chain
from ponikeeper.geometry.kinematics.joints import AnyJoint, Beam
from ponikeeper.geometry.kinematics.panel import Panel, ring_sigma
from ponikeeper.geometry.kinematics.place import value_slopes
from ponikeeper.geometry.kinematics.rigid import Slopes, Values
from ponikeeper.geometry.kinematics.spans import Reach, Span, reach_of

LEVER = 0.2
"""A carriage that strays by s also turns by s / LEVER (m): about the distance between its bearings."""

Covariance = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model says for one position.

    Parameters
    ----------
    geometry
        The geometry there.
    covariance
        Of dist, poni1, poni2, rot1, rot2 and wavelength (m, rad), shape (6, 6), as that of a fit.
    rms_px
        Standard deviation of ring positions at the given wavelength (px rms over the panel).
    accuracy
        Largest standard deviation of 2 theta on the panel, that of the wavelength included (rad).
    reach
        Where the position is, relative to the range of the model.
    """

    geometry: Geometry
    covariance: Covariance
    rms_px: float
    accuracy: float
    reach: Reach

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviation of each value by name (m, rad)."""
        names = (*FREE, "wavelength")
        return {name: sqrt(max(self.covariance[index][index], 0.0)) for index, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Model:
    """A geometry as a function of the position of the linked PVs.

    Parameters
    ----------
    geometry
        The geometry at the reference position.
    panel
        Sides of the detector's sensitive area along axes 1 and 2 (m).
    reference
        The reference position: the value of each joint's link, in the units of the joint.
    joints
        From the floor to the detector.
    free
        Names of the parameters that were fitted.
    covariance
        Of these at the given wavelength: the lower triangle, row by row.
    by_wavelength
        Change of these for a relative change of the wavelength.
    wavelength_sigma
        Relative standard deviation of the wavelength.
    motor_sigma
        Standard deviation of the position of each link, in the units of the joint; 0 where it is missing.
    scatter
        How far the detector strays from the chain, rms along each axis (m).
    spans
        The range of each joint's link.
    fit
        Where the model comes from: members, chi squared, and so on; JSON.

    Raises
    ------
    ModelError
        The parts contradict one another.
    """

    geometry: Geometry
    panel: tuple[float, float]
    reference: Mapping[str, float]
    joints: tuple[AnyJoint, ...]
    free: tuple[str, ...]
    covariance: tuple[float, ...]
    by_wavelength: tuple[float, ...]
    wavelength_sigma: float
    scatter: float
    spans: Mapping[str, Span]
    motor_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    fit: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        for name in ("reference", "spans", "motor_sigma", "fit"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        problems = self._problems()
        if problems:
            raise ModelError(problems)

    def __reduce__(self) -> tuple[object, ...]:  # a frozen mapping can be neither copied nor pickled by itself
        return type(self).parse, (self.as_dict(),)

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Build a model from its JSON object.

        Parameters
        ----------
        values
            As `as_dict` returns it.

        Returns
        -------
        Model
            Equal to the one of which the object was made, to the last bit.

        Raises
        ------
        ModelError
            With every problem.
        """
        problems = model_json.problems(values)
        if problems:
            raise ModelError(problems)
        try:
            geometry = Geometry.parse(cast("Mapping[str, object]", values["geometry"]))
        except GeometryError as error:
            raise ModelError(f'"geometry": {problem}' for problem in error.problems) from None
        return cls(geometry=geometry, **model_json.parts(values))  # type: ignore[arg-type]  # checked above

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object, from which `parse` builds the model again.

        Returns
        -------
        dict
            Plain JSON values.
        """
        return model_json.as_object(
            geometry=self.geometry.as_dict(),
            panel=list(self.panel),
            reference=dict(self.reference),
            joints=self.joints,
            free=list(self.free),
            covariance=list(self.covariance),
            by_wavelength=list(self.by_wavelength),
            wavelength_sigma=self.wavelength_sigma,
            motor_sigma=dict(self.motor_sigma),
            scatter=self.scatter,
            spans=self.spans,
            fit=self.fit,
        )

    @property
    def chain(self) -> Chain:
        """The chain of joints."""
        at = self.geometry
        values = (at.dist, at.poni1, at.poni2, at.rot1, at.rot2, at.rot3)
        return Chain(values, at.wavelength, self.reference, self.joints)

    def geometry_at(self, position: Mapping[str, float]) -> Geometry:
        """Compute the geometry at a position, without its uncertainty.

        Parameters
        ----------
        position
            The value of each joint's link, in the units of the joint; other links are ignored.

        Returns
        -------
        Geometry

        Raises
        ------
        ModelError
            A link is missing, or its value is not possible.
        GeometryError
            There is no valid geometry at this position, such as behind the sample.
        """
        self._check(position)
        chain = self.chain
        return self._geometry(chain.pose(position).values(), chain.wavelength_at(position))

    def evaluate(self, position: Mapping[str, float]) -> Evaluation:
        """Compute the geometry at a position, with its uncertainty.

        Parameters
        ----------
        position
            As for `geometry_at`.

        Returns
        -------
        Evaluation

        Raises
        ------
        ModelError
            As `geometry_at`, or the numbers of the model are too large to compute an uncertainty.
        GeometryError
            As `geometry_at`.
        """
        self._check(position)
        chain = self.chain
        values, slopes = chain.slopes(position)
        geometry = self._geometry(values, chain.wavelength_at(position))
        panel = Panel.of(geometry, self.panel)
        covariance = self._covariance(values, slopes, panel)
        by_wavelength = _combined([slopes[name] for name in self.free], self.by_wavelength)
        ring = ring_sigma(values, panel, covariance, by_wavelength, self.wavelength_sigma)
        whole = _with_wavelength(covariance, by_wavelength, self.wavelength_sigma, geometry.wavelength)
        if not all(map(isfinite, (ring.rms_px, ring.worst, *(value for row in whole for value in row)))):
            raise ModelError("the uncertainty here is no finite number: the covariance of the model is too large")
        return Evaluation(geometry, whole, ring.rms_px, ring.worst, reach_of(self.spans, position))

    def _geometry(self, values: Values, wavelength: float) -> Geometry:
        dist, poni1, poni2, rot1, rot2, rot3 = values
        return replace(
            self.geometry, dist=dist, poni1=poni1, poni2=poni2, rot1=rot1, rot2=rot2, rot3=rot3, wavelength=wavelength
        )

    def _covariance(self, values: Values, slopes: Mapping[str, Slopes], panel: Panel) -> list[list[float]]:
        """Compute the covariance at the given wavelength: of the parameters, the motors, and the scatter."""
        total = _propagated([slopes[name] for name in self.free], self.covariance)
        for link, sigma in self.motor_sigma.items():
            if link in slopes:
                _add(total, slopes[link], slopes[link], sigma * sigma)
        if self.scatter > 0:
            stray = (self.scatter, self.scatter, self.scatter, self.scatter / LEVER, self.scatter / LEVER)
            for change, sigma in zip(value_slopes(values, panel.middle), stray, strict=True):
                _add(total, change, change, sigma * sigma)
        return total

    def _check(self, position: Mapping[str, float]) -> None:
        """Check that a position has a value for every joint; raises `ModelError`."""
        missing = [joint.link for joint in self.joints if joint.link not in position]
        if missing:
            given = " ".join(position) or "none"
            raise ModelError(
                f"the position lacks {', '.join(missing)}: expected {' '.join(self.reference)}, not {given}"
            )
        below = [joint.link for joint in self.joints if joint.kind == "beam" and not position[joint.link] > 0]
        if below:
            raise ModelError(f"{below[0]} {position[below[0]]!r} is not possible: expected more than 0")

    def _problems(self) -> list[str]:
        """Return what the parts of a model contradict one another in."""
        links, known, count = [joint.link for joint in self.joints], self.chain.parameters(), len(self.free)
        beams = [joint.link for joint in self.joints if isinstance(joint, Beam)]
        above = f"more than 0 for {' '.join(beams)}"
        expected = [
            ("joints", len(set(links)) == len(links) > 0, "at least one joint, each with a link of its own"),
            ("joints", len(beams) < 2, f"one of {' '.join(beams)}, which tell the same wavelength"),
            ("reference", set(self.reference) == set(links), f"a value for each of {' '.join(links)}"),
            ("spans", set(self.spans) == set(links), f"a range for each of {' '.join(links)}"),
            ("motor_sigma", set(self.motor_sigma) <= set(links), f"links of joints, of {' '.join(links)}"),
            ("free", set(self.free) <= set(known) and len(set(self.free)) == count, f"parameters: {' '.join(known)}"),
            ("covariance", len(self.covariance) == count * (count + 1) // 2, f"{count * (count + 1) // 2} numbers"),
            ("motor_sigma", min(self.motor_sigma.values(), default=0.0) >= 0, "0 or more"),
            ("spans", all(each.low <= each.high for each in self.spans.values()), '"low" below "high"'),
            ("reference", all(value > 0 for link, value in self.reference.items() if link in beams), above),
            ("spans", all(each.low > 0 for link, each in self.spans.items() if link in beams), above),
            ("covariance", is_covariance(self.covariance), "variances that are not negative"),
            ("by_wavelength", len(self.by_wavelength) == count, f"{count} numbers, one for each free parameter"),
        ]
        return [f'"{name}" does not fit the model: expected {text}' for name, fits, text in expected if not fits]


def _propagated(columns: Sequence[Slopes], lower: Sequence[float]) -> list[list[float]]:
    """Return ``J C J^T`` of the columns of J and the lower triangle of C, shape (5, 5)."""
    products, start = [[0.0] * 5 for _ in columns], 0
    for row, (here, product) in enumerate(zip(columns, products, strict=True)):
        for column in range(row):
            factor, there = lower[start + column], columns[column]
            other = products[column]
            for index in range(5):
                product[index] += factor * there[index]
                other[index] += factor * here[index]
        for index in range(5):
            product[index] += lower[start + row] * here[index]
        start += row + 1
    total = [[0.0] * 5 for _ in range(5)]
    for here, product in zip(columns, products, strict=True):
        _add(total, here, product)
    return total


def _add(total: list[list[float]], a: Sequence[float], b: Sequence[float], factor: float = 1.0) -> None:
    """Add a factor times the outer product of two vectors."""
    for here, value in zip(total, a, strict=True):
        scaled = factor * value
        for column, other in enumerate(b):
            here[column] += scaled * other


def _combined(columns: Sequence[Slopes], factors: Sequence[float]) -> Slopes:
    """Return the sum of columns times factors."""
    total = [0.0] * 5
    for column, factor in zip(columns, factors, strict=True):
        for index in range(5):
            total[index] += column[index] * factor
    return (total[0], total[1], total[2], total[3], total[4])


def _with_wavelength(
    covariance: Sequence[Sequence[float]], by_wavelength: Slopes, relative: float, wavelength: float
) -> Covariance:
    """Return the covariance with the wavelength's error in it and as its last row (m, rad), shape (6, 6)."""
    changes = [*by_wavelength, wavelength]
    padded = [[*row, 0.0] for row in covariance] + [[0.0] * 6]
    _add(padded, changes, changes, relative * relative)
    return tuple(map(tuple, padded))
