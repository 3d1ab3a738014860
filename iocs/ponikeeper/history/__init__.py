"""Revisions, activations and judgements in SQLite: the only package that knows SQL.

Every row carries a checksum; nothing is ever changed or deleted. `history` reads and writes,
`records` are the values, `schema` makes and migrates the file, `verify` finds what is not what was
written, `journal` judges what a crash left behind.
"""

from ponikeeper.history.history import History
from ponikeeper.history.records import Activation, Answer, Draft, Revision

__all__ = ["Activation", "Answer", "Draft", "History", "Revision"]
