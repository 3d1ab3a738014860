"""What the history of a detector consists of: the kinds of records, and the history file. Pure."""

from ponikeeper.history.derived import DerivedGeometry
from ponikeeper.history.record_form import Position
from ponikeeper.history.records import Activation, Correction, LabelRecord, RenameRecord, ServiceChange, UndoRecord
from ponikeeper.history.revision import Revision

__all__ = [
    "Activation",
    "Correction",
    "DerivedGeometry",
    "LabelRecord",
    "Position",
    "RenameRecord",
    "Revision",
    "ServiceChange",
    "UndoRecord",
]
