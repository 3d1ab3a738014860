"""Refuse the activation of a revision that was found wrong. Pure."""

from collections.abc import Sequence

from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.protocol import Activate


def require_right(request: Activate, revision: int, corrections: Sequence[Correction]) -> None:
    """Check that a revision may be activated.

    Parameters
    ----------
    request
        The request, which can force it.
    revision
        Number of the revision that it means.
    corrections
        All corrections of the detector's revisions.

    Raises
    ------
    RefusedError
        The revision was corrected.
    """
    correction = correction_of(corrections, revision)
    if correction is not None and not request.force:
        raise RefusedError(
            f"revision {revision} was {describe_correction(correction)}; activate one that is right, "
            'or this one anyway with "force": true (ponikeeper activate --force)'
        )
