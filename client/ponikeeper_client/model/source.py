"""A model to be shown: that of a file, or a revision of an IOC with what is known of it there."""

from dataclasses import dataclass
from pathlib import Path

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.kinematics import Model, Reach
from ponikeeper.history import Revision
from ponikeeper.history.corrections import describe_correction
from ponikeeper.protocol import LinkState, Snapshot
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.models import corrected_members, model_of, usual_reach
from ponikeeper_client.fit.commit import CommitOptions, connected
from ponikeeper_client.model.model_file import load_model
from ponikeeper_client.model.revisions import active_model, no_model_text

_TIMEOUT = 10.0
"""How long an IOC may take for each answer (s)."""


@dataclass(frozen=True, slots=True)
class Served:
    """What an IOC has of a model.

    Parameters
    ----------
    revision
        The revision that is the model.
    snapshot
        What is active now.
    links
        All links of the detector as they are now.
    wrong
        Its members that were corrected since: what was said of each, by its number.
    """

    revision: Revision
    snapshot: Snapshot
    links: tuple[LinkState, ...]
    wrong: dict[int, str]

    @property
    def is_active(self) -> bool:
        """Whether the geometry that is active now was computed by this model."""
        return self.snapshot.revision == self.revision.number


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model, and where it comes from.

    Parameters
    ----------
    name
        The PV prefix, or the path of the file.
    model
        The model.
    farthest
        How far outside of its range it may be used.
    served
        What the IOC has of it; None for a file.
    """

    name: str
    model: Model
    farthest: Reach = Reach.MARGIN
    served: Served | None = None


def read_source(target: str, number: int | None = None) -> ModelSource:
    """Read a model.

    Parameters
    ----------
    target
        PV prefix of a detector, or the path of a file that exists.
    number
        Number of the revision; None is the active model.

    Returns
    -------
    ModelSource

    Raises
    ------
    ModelError
        The file is no model.
    RefusedError
        The detector has no model, or the revision is none.
    NotConnectedError
        The IOC does not answer.
    """
    file = Path(target)
    if file.is_file() or file.suffix == ".json":
        if number is not None:
            raise RefusedError(f"{file} is a file: --revision needs the PV prefix of a detector")
        return ModelSource(target, load_model(file))
    return _read_served(target, number)


def _read_served(prefix: str, number: int | None) -> ModelSource:
    from ponikeeper_client._ioc_history import IocHistory  # a model in a file needs no ophyd

    with connected(CommitOptions(prefix, None, None, None), "a model in a file needs no IOC") as ioc:
        links = ioc.links()
        snapshot, extrapolate = ioc.calib.read_snapshot(), ioc.calib.may_extrapolate()
    history = IocHistory(prefix, _TIMEOUT)
    revision = history.revision(snapshot.revision if number is None else number)
    if number is None and (revision is None or not is_model(revision)):
        records = history.read_all()
        revision = active_model(records)
        if revision is None:
            raise RefusedError(no_model_text(records))
    model = None if revision is None else model_of(revision)
    if revision is None or model is None:
        raise RefusedError(_no_model(prefix, number or snapshot.revision, revision))
    wrong = corrected_members(model, history.corrections())
    texts = {number: describe_correction(correction) for number, correction in wrong.items()}
    served = Served(revision, snapshot, links, texts)
    return ModelSource(prefix, model, usual_reach(extrapolate=extrapolate), served)


def _no_model(target: str, number: int, revision: Revision | None) -> str:
    what = "is no model, it was calibrated at one position"
    if revision is None:
        what = "does not exist"
    elif is_model(revision):
        what = "is a model of a newer version of ponikeeper"
    return f"revision {number} of {target} {what}: ponikeeper history '{target}' lists all"
