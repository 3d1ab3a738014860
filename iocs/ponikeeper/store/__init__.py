"""Revisions, activations and judgements in SQLite: the only package that knows SQL.

Every row carries a checksum; nothing is ever changed or deleted, but for the one row of each
detector that says where its links stood last. `history` writes, `reader` reads, `rows` are what is
kept beside the records, `schema` makes and migrates the file, `verify` finds what is not what was
written, `journal` judges what a crash left behind.
"""

from ponikeeper.store.history import History
from ponikeeper.store.rows import FOLLOWED, Answer, Draft, FollowCandidate, FollowState, StoredState

__all__ = ["FOLLOWED", "Answer", "Draft", "FollowCandidate", "FollowState", "History", "StoredState"]
