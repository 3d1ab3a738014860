"""Which activations and revisions were undone. Pure.

An undone activation is ignored where a revision is looked up by its position or by its label. A revision is ignored
if every activation that someone asked for was undone; to activate it by its number counts again.
"""

from collections.abc import Iterable, Sequence

from ponikeeper.history.records import Activation, UndoRecord


def undone_serials(undos: Iterable[UndoRecord]) -> frozenset[int]:
    """Return the serials of the activations that were undone."""
    return frozenset(undo.undone for undo in undos)


def undone_revisions(activations: Iterable[Activation], undos: Iterable[UndoRecord]) -> frozenset[int]:
    """Return the numbers of the revisions whose activations were all undone.

    Parameters
    ----------
    activations
        All of one detector.
    undos
        All undos of the detector.

    Returns
    -------
    frozenset of int
        Activations that followed the links, and those by an undo, do not count.
    """
    undone = undone_serials(undos)
    by_request = [each for each in activations if each.is_requested]
    standing = {each.revision for each in by_request if each.serial not in undone}
    return frozenset(each.revision for each in by_request) - standing


def undo_lines(revision: int, activations: Sequence[Activation], undos: Sequence[UndoRecord]) -> list[str]:
    """List the activations of a revision that were undone.

    Parameters
    ----------
    revision
        Number of the revision.
    activations
        All of the detector, in the order of their serials.
    undos
        All undos of the detector.

    Returns
    -------
    list of str
        A line for each: by whom, and when.
    """
    by_serial = {each.serial: each for each in activations}
    return [
        f"its activation {undo.undone} ({_when(by_serial.get(undo.undone))}) was undone by {undo.serial} "
        f"({_when(by_serial.get(undo.serial))})"
        for undo in undos
        if undo.revision == revision
    ]


def _when(activation: Activation | None) -> str:
    return "unknown" if activation is None else f"{activation.author}, {activation.time}"
