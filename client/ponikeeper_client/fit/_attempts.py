"""Attempts of a fit, the most probable first: at the start, near it, from nothing; the first accepted one ends it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import BLIND_START, MIN_RINGS, Criteria, StartTolerance, problems
from ponikeeper_client.fit._certainty import Certainty, Circle, certainty
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import detected_rings
from ponikeeper_client.fit._refine import Refined
from ponikeeper_client.fit._search import LONGEST, SHORTEST, Candidate, search
from ponikeeper_client.fit._settle import (
    Settled,
    is_hopeless,
    panel_difference,
    settle,
    settle_everywhere,
    spread_of_polishes,
)

_PER_STEP = 2
"""Number of candidates that are refined in each step of the search."""

_MIN_SHARE = 0.1
"""Share of ridge points on lines below which a candidate is not refined."""

_SAME = 1.0
"""Candidates whose rings are nearer to each other than this are refined once (px rms over the panel)."""

_SURE_RESIDUAL = 0.3
"""Largest residual at which a fit that begins at the start needs no search (px)."""

_MAX_SPREAD = 0.1
"""Largest distance between geometries that are refined from two displaced ones (px rms over the panel)."""

_MUCH_WORSE = 3.0
"""Ratio of residuals beyond which rings all over the panel do not replace the innermost ones."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A settled geometry, the reasons against it, how sure it is, and the part of the panel for which it is."""

    refined: Refined
    problems: tuple[str, ...]
    sure: Certainty | None
    valid_within: Circle | None

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sort key: few problems first, then small residuals; too few rings, which fit anything, come last."""
        too_few = len(detected_rings(self.refined.points)) < MIN_RINGS
        return too_few, len(self.problems), self.refined.residual_px


@dataclass(slots=True)
class Attempts:
    """All attempts to fit one image."""

    frame: Frame
    lines: Floats
    start: Geometry
    tolerance: StartTolerance
    criteria: Criteria
    _made: list[Attempt] = field(default_factory=list[Attempt])
    _hopeless: list[Settled] = field(default_factory=list[Settled])
    _tried: list[Floats] = field(default_factory=list[Floats])

    def run(self, report: Progress, search: bool = True) -> Attempt | None:
        """Try until an attempt is accepted.

        Parameters
        ----------
        report
            Called with the finished part (0 to 1) and the next step.
        search
            Whether to look for rings if the start does not fit.

        Returns
        -------
        Attempt or None
            The accepted one, or the best of the rejected ones; None if no rings were found.
        """
        blind = bool(np.isinf(self.tolerance.distance))
        if not blind:
            attempt = self._try(params_of(self.start), self.tolerance)
            if attempt and not attempt.problems and attempt.refined.residual_px < _SURE_RESIDUAL:
                return attempt
            if not search:
                return attempt
            report(0.2, "look for rings near the start")
            accepted = self._search(self.tolerance)
            if accepted:
                return accepted
        report(0.5, "look for rings at every distance")
        found = self._search(BLIND_START)
        if found and not blind:
            return replace(found, problems=(self._wrong_start(found.refined.params),))
        return found or self._best_rejected()

    def _search(self, tolerance: StartTolerance) -> Attempt | None:
        """Refine the candidates of a search until one is accepted."""
        for candidates in self._steps(tolerance):
            for candidate in candidates[:_PER_STEP]:
                if candidate.match.share < _MIN_SHARE:
                    break
                attempt = self._try(candidate.params, tolerance)
                if attempt and not attempt.problems:
                    return attempt
        return None

    def _steps(self, tolerance: StartTolerance) -> Iterator[list[Candidate]]:
        if np.isinf(tolerance.distance):
            return search(self.frame, self.lines, (SHORTEST, LONGEST))
        params, factor = params_of(self.start), 1 + tolerance.distance
        return search(self.frame, self.lines, (params[DISTANCE] / factor, params[DISTANCE] * factor), params)

    def _try(self, params: Floats, tolerance: StartTolerance) -> Attempt | None:
        """Settle at parameters and check the result; None if they were tried before, or there are too few points."""
        if any(panel_difference(self.frame, tried, params) < _SAME for tried in self._tried):
            return None
        self._tried.append(params)
        settled = settle(self.frame, params, self.lines)
        if settled is None:
            return None
        if is_hopeless(settled.refined):
            self._hopeless.append(settled)
            return None
        criteria = self._criteria_of(tolerance)
        attempt = self._judged(settled, tolerance, criteria)
        if attempt.problems:  # perhaps because the innermost rings do not determine the whole panel
            wider = settle_everywhere(self.frame, settled)
            if wider is not None:
                attempt = self._better(settled, attempt, self._judged(wider, tolerance, criteria), tolerance)
        self._made.append(attempt)
        return attempt

    def _better(self, settled: Settled, inner: Attempt, wider: Attempt, tolerance: StartTolerance) -> Attempt:
        """Return the better one of two attempts: by the innermost rings, and by rings all over the panel.

        Where the outer rings fit far worse, as on a distorted panel or at a wrong wavelength, they only confirm what
        the inner ones say.
        """
        if not wider.refined.residual_px > _MUCH_WORSE * inner.refined.residual_px:
            return min(inner, wider, key=lambda other: other.rank)
        if not wider.problems and self._criteria_of(tolerance) != self.criteria:
            confirmed = self._judged(settled, tolerance, self.criteria)
            if not confirmed.problems:
                return confirmed
        return inner

    def _criteria_of(self, tolerance: StartTolerance) -> Criteria:
        """Return by what a fit is judged that may be so far from its start."""
        return replace(self.criteria, blind=bool(np.isinf(tolerance.distance)))

    def _judged(self, settled: Settled, tolerance: StartTolerance, criteria: Criteria) -> Attempt:
        """Check a settled geometry; that it is stable comes last."""
        refined = settled.refined
        geometry = geometry_of(refined.params, self.start)
        sure = certainty(self.frame, refined, self.lines, geometry, criteria.assumed)
        reasons = problems(self.frame, refined, self.lines, sure, self.start, tolerance, criteria)
        return Attempt(refined, tuple(reasons or self._unstable(settled)), sure, criteria.valid_part(sure))

    def _best_rejected(self) -> Attempt | None:
        """Return the best of the rejected attempts; None if there are none."""
        if self._made or not self._hopeless:
            return min(self._made, key=lambda attempt: attempt.rank, default=None)
        best = min(self._hopeless, key=lambda other: other.refined.residual_px)
        return self._judged(best, self.tolerance, self._criteria_of(self.tolerance))

    def _unstable(self, settled: Settled) -> list[str]:
        """Return the reason against a geometry to which displaced ones are not refined."""
        spread = spread_of_polishes(self.frame, settled)
        if spread <= _MAX_SPREAD:
            return []
        return [
            f"not stable: refined from two places nearby, the rings end {spread:.2g} px apart, at most {_MAX_SPREAD} "
            "px is allowed; take an image with longer arcs or more rings, or expose longer"
        ]

    def _wrong_start(self, params: Floats) -> str:
        """Return the reason against a geometry that is accepted but for its start."""
        found, start = geometry_of(params, self.start).dist, self.start.dist
        return (
            f"far from the start: nothing fits near its distance of {start:.4g} m, but all rings fit at {found:.4g} m: "
            "the distance of the start may be wrong; if it is, start from a nominal distance there, or without one "
            '(start="blind")'
        )
