"""Which revisions are models; what is computed with a model is in `models`, which takes longer to load. Pure."""

from collections.abc import Mapping
from typing import Protocol


class Source(Protocol):
    """A revision, or the snapshot of an active one."""

    @property
    def uid(self) -> str | None:
        """The uid of the revision."""
        ...

    @property
    def provenance(self) -> Mapping[str, object]:
        """Where it comes from; ``model`` is the JSON object of a model."""
        ...


def is_model(revision: Source) -> bool:
    """Return whether the geometry of a revision is a function of the position of the links."""
    return "model" in revision.provenance
