"""The model that a descriptor records: which one was active, for which position it gave the geometry, and itself.

A reader of the documents can compute with it the geometry of other positions, without the history.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from ponikeeper.errors import ModelError
from ponikeeper.geometry.kinematics import Model
from ponikeeper.history import Position
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.models import recorded_joints
from ponikeeper.text import strictjson


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """A model as a descriptor recorded it.

    Parameters
    ----------
    text
        The JSON object of the key ``model``: ``revision``, ``uid`` and ``checksum`` of the model, the ``position`` for
        which it gave the recorded geometry, and the ``model`` itself.
    """

    text: str

    @property
    def uid(self) -> str:
        """Uid of the revision that is the model."""
        return str(_parsed(self.text)["uid"])

    @property
    def position(self) -> Position:
        """Values of the links for which the recorded geometry was computed."""
        return cast("Position", _parsed(self.text)["position"])

    @property
    def model(self) -> Model:
        """The model.

        Raises
        ------
        ModelError
            What was recorded is none.
        """
        return _model(self.text)

    @property
    def problem(self) -> str:
        """Why it cannot be used; empty where it can."""
        try:
            missing = [joint.link for joint in self.model.joints if joint.link not in self.joints]
        except (KeyError, TypeError, AttributeError, ValueError) as error:  # a `ModelError` is a ValueError
            return f"the recorded model cannot be read: {error}"
        return f"the run did not record for which {', '.join(missing)} the geometry is" if missing else ""

    @property
    def values(self) -> Mapping[str, Any]:
        """The JSON object of the model itself."""
        return cast("Mapping[str, Any]", _parsed(self.text)["model"])

    @property
    def joints(self) -> Mapping[str, float]:
        """The value of each joint's link in `position`, in the units of the joint."""
        return recorded_joints(self.model, self.position)

    @property
    def place(self) -> str:
        """The position for which the recorded geometry was computed, for a person: ``z = 523 mm``."""
        units, joints = {joint.link: joint.units for joint in self.model.joints}, self.joints
        return ", ".join(f"{link} = {quantity(value, units[link])}" for link, value in joints.items())


def model_text(snapshot: Snapshot) -> str:
    """Format the key ``model`` of a descriptor.

    Parameters
    ----------
    snapshot
        The active revision, as the IOC published it.

    Returns
    -------
    str
        JSON; empty where the active revision is no model.
    """
    model = snapshot.provenance.get("model")
    if model is None:
        return ""
    return strictjson.dumps(
        {
            "revision": snapshot.revision,
            "uid": snapshot.uid,
            "checksum": snapshot.checksum,
            "position": strictjson.plain(snapshot.position or {}),
            "model": strictjson.plain(model),
        }
    )


def recorded_model(text: object) -> RecordedModel | None:
    """Read the key ``model`` of a descriptor.

    Parameters
    ----------
    text
        What was recorded.

    Returns
    -------
    RecordedModel or None
        None where no model was active.
    """
    if not isinstance(text, str) or not text:  # missing before 0.2
        return None
    return RecordedModel(text)


@lru_cache(maxsize=64)
def _parsed(text: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", strictjson.loads(text))


@lru_cache(maxsize=64)
def _model(text: str) -> Model:
    values = _parsed(text).get("model")
    if not isinstance(values, Mapping):
        raise ModelError('"model" of the recorded model is missing: expected the JSON object of a model')
    return Model.parse(cast("Mapping[str, object]", values))
