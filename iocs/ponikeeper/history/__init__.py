"""What the history of a detector consists of: the kinds of records, and the history file. Pure."""

from ponikeeper.history.records import (
    Activation,
    Correction,
    LabelRecord,
    Position,
    Revision,
    ServiceChange,
    UndoRecord,
)

__all__ = ["Activation", "Correction", "LabelRecord", "Position", "Revision", "ServiceChange", "UndoRecord"]
