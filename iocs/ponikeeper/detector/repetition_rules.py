"""Decide whether a request repeats an earlier one, or a commit would store the active revision again. Pure."""

from collections.abc import Sequence

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.files import files_of
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.protocol import Commit, LinkState, Request
from ponikeeper.protocol.integration import integration_of
from ponikeeper.protocol.link_values import is_same_position
from ponikeeper.store import Answer, Draft
from ponikeeper.text import strictjson


def require_same(request: Request, answer: Answer) -> None:
    """Check that a request is the one that was answered before under its id.

    Parameters
    ----------
    request
        The request.
    answer
        The first answer to its id.

    Raises
    ------
    RefusedError
        The id was used for another request.
    """
    if answer.digest != request.digest:
        used = ascii(request.request)[1:-1]
        raise RefusedError(f'the request id "{used}" was used before with other content: use a new id')


def is_repetition(
    active: Revision | None,
    corrections: Sequence[Correction],
    draft: Draft,
    commit: Commit,
    links: Sequence[LinkState] = (),
) -> bool:
    """Return whether a commit would store the active revision again, so that nothing is to be changed.

    Of an edit, and of a put to `Poni`, the values decide, with files, integration settings and a label that is given:
    position, the rest of the provenance and a label that is not given stay those of the active revision.
    Otherwise they are compared, too; positions are equal if they are within the tolerances of the links, and a
    corrected revision is never a repetition. Where only the position is recorded, `derived_from` is not compared.
    """
    if active is not None and "model" in draft.provenance:
        return _is_same_model(active, corrections, draft)
    if active is None or active.geometry != draft.geometry:
        return False
    if strictjson.canonical(active.geometry.as_dict()) != strictjson.canonical(draft.geometry.as_dict()):
        return False  # as texts: in Python 1 == True and 0.0 == -0.0
    if commit.edit or commit.values_only:
        if commit.label not in (None, active.label):
            return False
        return all(of(active.provenance) == of(draft.provenance) for of in (files_of, integration_of))
    ignored = set[str]() if commit.geometry else {"derived_from"}
    old, new = ({k: v for k, v in p.items() if k not in ignored} for p in (active.provenance, draft.provenance))
    return (
        active.label == draft.label
        and strictjson.canonical(strictjson.plain(old)) == strictjson.canonical(strictjson.plain(new))
        and correction_of(corrections, active.number) is None
        and is_same_position(links, active.position, draft.position)
    )


def _is_same_model(active: Revision, corrections: Sequence[Correction], draft: Draft) -> bool:
    """Return whether a model is active already, wherever it was evaluated last."""
    old, new = (strictjson.canonical(strictjson.plain(each.provenance.get("model"))) for each in (active, draft))
    return old == new and active.label == draft.label and correction_of(corrections, active.number) is None
