"""What the IOC needs of a storage of histories; `ponikeeper.store.opening` opens the one that it uses."""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ponikeeper.history import Activation, DerivedGeometry, Revision
from ponikeeper.history.records import Record
from ponikeeper.store.data_types import Added, Answer, Draft, FollowCandidate, FollowState, StoredHistory, StoredState

NO_END = 2**62
"""Larger than the number of any record."""


class HistoryStorage(Protocol):
    """The histories of the detectors of one IOC: their records, the answers to requests, and the follow states.

    Records are only added, never changed; the follow state of a detector is replaced. A write is stored
    whole or not at all, and is on disk when the method returns. Times are UTC ISO-8601. One thread at a
    time calls the methods, see `ponikeeper.store.store_thread`.
    """

    @property
    def path(self) -> Path:
        """The file; its folder is on the disk whose free space and health are watched."""
        ...

    def histories(self) -> list[StoredHistory]:
        """Read which histories there are; the other methods take the first PV prefix of one.

        Returns
        -------
        list of StoredHistory
            In the order in which they began.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def stored_state(self, prefix: str) -> StoredState:
        """Read everything that holds for a detector now.

        Parameters
        ----------
        prefix
            The detector's PV prefix.

        Returns
        -------
        StoredState
            Empty if nothing was ever committed.

        Raises
        ------
        DamagedStoreError
            A row is damaged or was changed.
        StoreError
            It cannot be read now.
        """
        ...

    def revision(self, prefix: str, number: int) -> Revision | None:
        """Read one revision.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        number
            Number of the revision.

        Returns
        -------
        Revision or None
            None if there is no revision with that number.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def revisions(self, prefix: str, first: int, last: int) -> list[Revision]:
        """Read the revisions of a range of numbers.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        first, last
            Numbers, both inclusive.

        Returns
        -------
        list of Revision
            In ascending order.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def records(self, prefix: str, kind: str, first: int = 1, last: int = NO_END) -> list[Record]:
        """Read the records of a kind and of a range of numbers.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        kind
            A key of `ponikeeper.history.records.KINDS`.
        first, last
            Numbers, both inclusive.

        Returns
        -------
        list of records
            In ascending order.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def find_label(self, prefix: str, label: str, excluded: Collection[int] = ()) -> int | None:
        """Find the revision that got a label last: when it was committed, or by a label record.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        label
            The label.
        excluded
            Numbers of revisions that do not count.

        Returns
        -------
        int or None
            Its number; None if there is none.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def newest_labels(self, prefix: str, limit: int, excluded: Collection[int] = ()) -> list[tuple[str, int]]:
        """Find the labels of the newest revisions, each with the revision that it means.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        limit
            Largest number of labels.
        excluded
            Numbers of revisions that do not count.

        Returns
        -------
        list of tuple of str and int
            Label and number of the revision, the label of the newest revision first.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def find_detector(self, prefix: str, detector: str) -> Revision | None:
        """Find the newest revision whose geometry is of a detector.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        detector
            Name of the detector, as pyFAI calls it.

        Returns
        -------
        Revision or None
            None if there is none.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def undone_revisions(self, prefix: str) -> frozenset[int]:
        """Find the revisions whose activations were all undone.

        Parameters
        ----------
        prefix
            The detector's PV prefix.

        Returns
        -------
        frozenset of int
            Their numbers.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def count(self, prefix: str, kind: str = "revision") -> int:
        """Return the number of the newest record of a kind, 0 if there is none.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        kind
            A key of `ponikeeper.history.records.KINDS`.

        Returns
        -------
        int

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def answer(self, prefix: str, request: str) -> Answer | None:
        """Read the answer to a request.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        request
            Id of the request.

        Returns
        -------
        Answer or None
            None if the id is new.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def follow_candidates(self, prefix: str, before: int | None, limit: int) -> list[FollowCandidate]:
        """Read what commits and users activated and was not undone; activations that followed the links are left out.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        before
            Read activations with a smaller serial; None reads from the newest on.
        limit
            Largest number of candidates.

        Returns
        -------
        list of FollowCandidate
            The newest first.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        ...

    def commit(
        self,
        prefix: str,
        draft: Draft,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
        follow_state: FollowState | None = None,
        count: int | None = None,
        derived: DerivedGeometry | None = None,
    ) -> tuple[Revision, Activation]:
        """Store a new revision and activate it.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        draft
            The revision without number and checksum.
        time
            Of revision and activation.
        cause
            Of the activation, such as ``commit``.
        author
            Of the activation.
        request
            Id, digest and op of the request, if it has an id.
        follow_state
            Stored with it; None if it has not changed.
        count
            Number of revisions that the caller knows of, for a check that the file is still the same; None: no check.
        derived
            What the model gives for the position, stored with the activation; its numbers are not used. None if the
            revision itself is activated.

        Returns
        -------
        tuple of Revision and Activation
            As stored: the revision with its number, uid and checksum, and with what its model gave, and its activation
            with its serial.

        Raises
        ------
        UncertainStoreError
            Whether it is stored is not known.
        StoreError
            It was not stored.
        """
        ...

    def activate(
        self,
        prefix: str,
        revision: int,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
        follow_state: FollowState | None = None,
        undone: Activation | None = None,
        derived: DerivedGeometry | None = None,
    ) -> Activation:
        """Activate a stored revision.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        revision
            Number of the revision.
        time, cause, author, request, follow_state
            As `commit`.
        undone
            The activation that this one undoes, which is stored with it; None if it is no undo.
        derived
            As `commit`.

        Returns
        -------
        Activation
            As stored, with its serial.

        Raises
        ------
        StoreError
            As `commit`.
        """
        ...

    def add(self, prefix: str, record: Added, answer: Answer | None = None) -> Added:
        """Store a correction, service change, label or rename record, and the answer to its request.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        record
            The record; its number is not used.
        answer
            None if the request has no id.

        Returns
        -------
        record
            As stored, with its number.

        Raises
        ------
        StoreError
            As `commit`.
        """
        ...

    def append(self, prefix: str, records: Iterable[Record], time: str, author: str) -> None:
        """Store records of another store, all or none; numbers, times and checksums do not change.

        Where the links rested is deleted: that was before what is active now.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        records
            Records that continue those of this store, in the order of their numbers.
        time, author
            Of this change of the follow state.

        Raises
        ------
        StoreError
            None of them was stored.
        """
        ...

    def set_follow_state(
        self, prefix: str, follow_state: FollowState, time: str, author: str, answer: Answer | None = None
    ) -> None:
        """Store whether the geometry follows the links and where they rest, with the answer to its request.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        follow_state
            Replaces what was stored before.
        time, author
            Of this change.
        answer
            None if there was no request, or one without an id.

        Raises
        ------
        StoreError
            As `commit`.
        """
        ...

    def store_answer(self, prefix: str, answer: Answer) -> None:
        """Store the answer to a request that changed nothing, so that a repetition changes nothing either.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        answer
            The answer.

        Raises
        ------
        StoreError
            As `commit`.
        """
        ...

    def group(self) -> AbstractContextManager[None]:
        """Join the writes of the block: they are on disk when it ends, with one wait for the disk.

        A write that fails by itself changes nothing, and does not harm the others.

        Returns
        -------
        AbstractContextManager
            Its exit raises `StoreError` if none of them is on disk, `UncertainStoreError` if that is not known.
        """
        ...

    def probe(self) -> None:
        """Write to the disk without changing the history.

        Raises
        ------
        StoreError
            The disk does not accept writes.
        """
        ...

    def verify_next(self) -> bool:
        """Verify the next slice of rows, as they are on the disk now; after the last slice, begin again.

        Returns
        -------
        bool
            Whether any slices are left until it begins again.

        Raises
        ------
        DamagedStoreError
            A row is damaged or was changed.
        StoreError
            It cannot be read now; the next call tries it again.
        """
        ...

    def close(self) -> None:
        """Close the file and release the lock."""
        ...
