"""The store: revisions, activations and corrections in one SQLite file. The only package that knows SQL.

Every row has a checksum. No row is ever changed or deleted, except the follow state, of which each
detector has one row.

`history` writes, `reader` reads; `rows` has what is stored in addition to the records; `writer` runs the
thread that uses them; `database` opens the file, `schema` creates and migrates it; `verify` checks that
it is what was written, `rollback_journal` checks what a crash left; `backup` copies it while it is served.
"""

from ponikeeper.store.history import History
from ponikeeper.store.rows import FOLLOWED, Answer, Draft, FollowCandidate, FollowState, StoredState

__all__ = ["FOLLOWED", "Answer", "Draft", "FollowCandidate", "FollowState", "History", "StoredState"]
