"""Read the geometry of a run back: as it was recorded, and as it is known now.

>>> recorded(catalog[uid])  # every geometry, with the events that it covers
>>> recorded("image.h5")  # the same of a file that areaDetector wrote, whose events are its frames
>>> best_known(catalog[uid])  # with all corrections made since
>>> azimuthal_integrator(catalog[uid], event=3, best=True)
>>> geometries(catalog[uid])  # of each event, where a model is active
"""

from ponikeeper_client.recall._affected import SearchResult, affected
from ponikeeper_client.recall._best_known import best_known
from ponikeeper_client.recall._geometries import geometries
from ponikeeper_client.recall._integration import Pattern, integrate
from ponikeeper_client.recall._lookup import read_history
from ponikeeper_client.recall._nexus import write_nexus
from ponikeeper_client.recall._pyfai import azimuthal_integrator, poni, write_poni
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._timeline import timeline
from ponikeeper_client.recall._travelled import EventGeometry
from ponikeeper_client.recall._uncertainty import Uncertainty, uncertainty
from ponikeeper_client.recall._values import BestKnown, Geometries, Recorded

__all__ = [
    "BestKnown",
    "EventGeometry",
    "Geometries",
    "Pattern",
    "Recorded",
    "SearchResult",
    "Uncertainty",
    "affected",
    "azimuthal_integrator",
    "best_known",
    "geometries",
    "integrate",
    "poni",
    "read_history",
    "recorded",
    "timeline",
    "uncertainty",
    "write_nexus",
    "write_poni",
]
