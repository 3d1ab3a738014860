"""The requests that are methods of both devices: they send the same, and only one has to be awaited."""

from typing import Generic, TypeVar

from ponikeeper.protocol import Activate, RecordPosition, Request, Undo

Reply_co = TypeVar("Reply_co", covariant=True)
"""`Result`, or what is awaited for it."""


class RequestMethods(Generic[Reply_co]):
    """A device that runs transactions."""

    def transact(self, request: Request, timeout: float | None = None) -> Reply_co:
        """Run one transaction; the device implements it."""
        raise NotImplementedError

    def activate(self, revision: int | str, *, force: bool = False, timeout: float | None = None) -> Reply_co:
        """Activate a revision again.

        Parameters
        ----------
        revision
            Its number, or a label, which means the revision that got it last and was neither corrected nor undone.
        force
            Activate it although it was superseded or retracted.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            With the number of the revision, and the serial of its activation.

        Raises
        ------
        RefusedError, NotConnectedError
            As `transact`.
        """
        return self.transact(Activate(revision, force), timeout)

    def undo(self, *, expect_serial: int | None = None, timeout: float | None = None) -> Reply_co:
        """Undo the last commit or activation: what was active before is activated again.

        Parameters
        ----------
        expect_serial
            Refuse unless this activation is the newest one.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            With the number of the revision that is active again.

        Raises
        ------
        RefusedError, NotConnectedError
            As `transact`.
        """
        return self.transact(Undo(expect_serial), timeout)

    def record_position(self, *, force: bool = False, timeout: float | None = None) -> Reply_co:
        """Record that the active geometry holds where the links are now: a new revision with the same geometry.

        Parameters
        ----------
        force
            Accept that its wavelength contradicts a linked energy or wavelength.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            With the number of the new revision.

        Raises
        ------
        RefusedError, NotConnectedError
            As `transact`.
        """
        return self.transact(RecordPosition(force), timeout)
