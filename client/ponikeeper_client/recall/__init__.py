"""The geometry back from a run: as it was recorded, and as it is known now.

Pure but for the catalog that the run is read from, and the IOC that is asked what was judged since.
"""

from ponikeeper_client.recall.best import best_known
from ponikeeper_client.recall.reading import recorded
from ponikeeper_client.recall.values import BestKnown, Recorded, Told

__all__ = ["BestKnown", "Recorded", "Told", "best_known", "recorded"]
