"""What the history of a detector consists of: revisions, activations, corrections, and the history file. Pure."""

from ponikeeper.history.records import Activation, Correction, Position, Revision

__all__ = ["Activation", "Correction", "Position", "Revision"]
