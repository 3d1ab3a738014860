"""What the history of a detector consists of: records of four kinds, what follows from them, the history file. Pure."""

from ponikeeper.history.records import Activation, Correction, Position, Revision, ServiceChange

__all__ = ["Activation", "Correction", "Position", "Revision", "ServiceChange"]
