"""Decide which files belong to the revision that a commit creates. Pure."""

from collections.abc import Mapping

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import MASK, Files, entry_of, files_of, missing_hashes, named_files
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.history import Revision
from ponikeeper.protocol import Commit


def decide_files(active: Revision | None, commit: Commit, geometry: Geometry) -> tuple[Files, list[str]]:
    """Return the files of the new revision: those of the commit, and those that it keeps of the active revision.

    An edit keeps a file that its configuration still names, and the mask of the same detector. Other commits keep
    only the files of a configuration that they inherit, and the mask unless they are a whole geometry; a put to `Poni`
    keeps those of the geometry that is active already.

    Parameters
    ----------
    active
        The active revision, None if the detector is UNSET.
    commit
        The request.
    geometry
        The geometry of the new revision.

    Returns
    -------
    tuple of Files and list of str
        The files with what is wrong with them: each without its SHA-256 is a problem.
    """
    files = {name: dict(entry) for name, entry in commit.files.items()}
    if active is not None and commit.values_only and active.geometry == geometry:
        return files_of(active.provenance), []
    if active is not None and commit.inherit:
        files = _kept(active, commit, geometry, files) | files
    return files, missing_hashes(geometry, files)


def _kept(active: Revision, commit: Commit, geometry: Geometry, given: Files) -> dict[str, dict[str, str]]:
    if active.geometry.detector != geometry.detector:
        return {}
    known, kept = files_of(active.provenance), dict[str, dict[str, str]]()
    if commit.edit or "detector_config" not in commit.geometry:
        kept = _still_named(known, active.geometry.detector_config, geometry.detector_config, given)
    if MASK in known and not commit.geometry.keys() >= set(NAMES):
        kept[MASK] = dict(known[MASK])
    return kept


def _still_named(
    known: Files, before: Mapping[str, object], after: Mapping[str, object], given: Files
) -> dict[str, dict[str, str]]:
    old, new = named_files(before), named_files(after)
    entries = {key: entry_of(known, key, tuple(old)) for key in new if entry_of(given, key, tuple(new)) is None}
    return {key: dict(entry) for key, entry in entries.items() if entry is not None and entry["path"] == new[key]}
