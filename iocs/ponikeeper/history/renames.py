"""The PV prefixes that a history has had. Pure."""

from collections.abc import Sequence

from ponikeeper.history.records import RenameRecord


def first_prefix(prefix: str, renames: Sequence[RenameRecord]) -> str:
    """Return the PV prefix that the checksums of a history cover: the first one that it had.

    Parameters
    ----------
    prefix
        Any PV prefix of the history.
    renames
        All of them, in their order, from number 1 on; without it `prefix` is the first one.

    Returns
    -------
    str
    """
    return renames[0].old if renames and renames[0].number == 1 else prefix


def prefixes(prefix: str, renames: Sequence[RenameRecord]) -> tuple[str, ...]:
    """Return all PV prefixes that a history has had, in their order; parameters as `first_prefix`."""
    return (first_prefix(prefix, renames), *(rename.new for rename in renames))
