"""Implementation of `ponikeeper model put`: commits the model of a file, such as one that was imported."""

from collections.abc import Sequence
from pathlib import Path

from ponikeeper import __version__
from ponikeeper.errors import FitError, RefusedError
from ponikeeper.geometry.kinematics import Model
from ponikeeper.protocol import Commit, LinkState
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.links import in_service
from ponikeeper.system import terminal
from ponikeeper_client.fit.commit import CommitOptions, connected
from ponikeeper_client.model.command import Committing
from ponikeeper_client.model.commit import require_joints
from ponikeeper_client.model.model_file import load_model


def put(prefix: str, path: Path, committing: Committing) -> bool:
    """Commit the model of a file.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    path
        A file that `ponikeeper model fit` or `ponikeeper model import` wrote.
    committing
        How to commit it.

    Returns
    -------
    bool
        False if it does not apply in the time that was asked for.

    Raises
    ------
    ModelError
        The file cannot be read, or is no model.
    FitError
        A joint is no configured link, or another link is not at rest.
    RefusedError, NotConnectedError
        The IOC did not accept it, or does not answer; the question was not answered by yes.
    """
    model = load_model(path)
    with connected(CommitOptions(prefix, committing.label, None, committing.seconds), "the file is kept") as ioc:
        links = ioc.links()
        request = commit_of_file(model, links, path.name, committing.label)
        if committing.ask and terminal.is_interactive() and not terminal.ask(_question(prefix, model, links)):
            raise RefusedError("nothing was committed: the question was not answered by yes")
        return ioc.send(request)


def commit_of_file(model: Model, links: Sequence[LinkState], name: str, label: str | None = None) -> Commit:
    """Build the request that commits a model of which no calibrations are known.

    Parameters
    ----------
    model
        The model.
    links
        All links of the detector, as the IOC has them.
    name
        Name of its file, for the provenance.
    label
        Label of the revision.

    Returns
    -------
    Commit
        The links that are no joints have the position at which they are.

    Raises
    ------
    FitError
        A joint is no configured link, or another link is not at rest.
    """
    require_joints(model, links)
    others = _others(model, links)
    if unknown := [link.unknown_because for link in others if link.unknown_because]:
        raise FitError(f"{'; '.join(unknown)}: the model holds where the other links are now, so these must be at rest")
    position = {link.name: link.value for link in others if link.value is not None}
    provenance: dict[str, object] = {"method": "model", "software": f"ponikeeper {__version__}", "comment": name}
    return Commit({}, provenance, label, {**model.reference, **position}, model=model.as_dict())


def _others(model: Model, links: Sequence[LinkState]) -> list[LinkState]:
    return [link for link in in_service(links) if link.name not in model.reference]


def _question(prefix: str, model: Model, links: Sequence[LinkState]) -> str:
    places = [
        f"{link.name} {quantity(link.value, link.units)}" for link in _others(model, links) if link.value is not None
    ]
    where = f" for {', '.join(places)}" if places else ""
    return f"Commit this model to {prefix}{where}, and activate it?"
