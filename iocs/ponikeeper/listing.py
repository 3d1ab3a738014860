"""A revision as a list of the history shows it: pure."""

from collections.abc import Sequence

from ponikeeper.judgements import judgement_of
from ponikeeper.records import Judgement, Revision

_SHORT = 80
"""Characters of a text that a list has room for."""


def listed(revision: Revision, judgements: Sequence[Judgement]) -> dict[str, object]:
    """Give the JSON object that a list shows of a revision, with the judgement that decides on it now.

    Parameters
    ----------
    judgements
        All of the detector, in their order.
    """
    provenance, judgement = revision.provenance, judgement_of(judgements, revision.number)
    return {
        "revision": revision.number,
        "created": revision.created,
        "label": revision.label,
        **{key: provenance.get(key) for key in ("method", "calibrant", "residual_px", "author")},
        **{key: getattr(revision.geometry, key) for key in ("dist", "poni1", "poni2", "wavelength", "detector")},
        "comment": ascii_only(str(provenance.get("comment", "")))[:_SHORT],
        "judgement": judgement and {**judgement.as_dict(), "reason": ascii_only(judgement.reason)[:_SHORT]},
    }


def ascii_only(text: str) -> str:
    """Keep clients from garbling what they do not know."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
