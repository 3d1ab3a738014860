"""The store: revisions, activations, corrections, undos and labels in one SQLite file. The only package that knows SQL.

Every row has a checksum. No row is ever changed or deleted, except the follow state, of which each
detector has one row.

`interface` has the methods that the rest of the IOC uses (`HistoryStorage`), and `data_types` what they
return in addition to records. `opening` selects the class that implements them: that of
`sqlite_storage`, with `reader`, which reads the rows. `store_thread` runs the thread that uses the
storage. `connection` locks, creates and opens the file, `database` keeps it open and translates its
errors; `schema` has its tables and migrations, `histories` which prefixes the histories have had.
`verify` checks that the file is what was written, `rollback_journal` checks what a crash left; `backup`
copies the file while it is served.
"""

from ponikeeper.store.data_types import Answer, Draft, FollowCandidate, FollowState, StoredHistory, StoredState
from ponikeeper.store.interface import HistoryStorage

__all__ = ["Answer", "Draft", "FollowCandidate", "FollowState", "HistoryStorage", "StoredHistory", "StoredState"]
