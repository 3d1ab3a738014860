"""The series of puts by which a client sets one value after another: what survives, and what is missing."""

from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.publisher import Publisher
from ponikeeper.detector.recent_puts import RecentPuts, SetpointPut, advice
from ponikeeper.detector.state import Change
from ponikeeper.protocol import Commit


class EditSeries:
    """Remembers the puts to the setpoints of one detector, and shows in the advice which of a series was refused.

    Parameters
    ----------
    publisher
        Owner of the detector's state.
    links
        Their clock is used.
    """

    def __init__(self, publisher: Publisher, links: LinkStates) -> None:
        self._publisher = publisher
        self._links = links
        self._recent = RecentPuts()
        self._revision = 0

    def brought(self, client: str) -> dict[str, object]:
        """Return the pixels and the configuration that a client put just before, which survive another detector."""
        return self._recent.brought(client, self._links.clock())

    def accepted(self, commit: Commit, client: str, revision: int) -> None:
        """Remember an accepted put to a setpoint; a commit of another kind ends every series.

        Parameters
        ----------
        commit
            An edit of one value is a put to a setpoint.
        client
            User and host.
        revision
            Number of the revision that it led to; it is published next.
        """
        if commit.edit and len(commit.geometry) == 1:
            ((name, value),) = commit.geometry.items()
            self._note(SetpointPut(client, name, value, None, self._links.clock()), revision)
        elif not commit.edit:
            self.end()

    def end(self) -> None:
        """Forget the puts: another revision was activated as a whole."""
        self._recent = RecentPuts()

    def refused(self, name: str, client: str, reason: str) -> None:
        """Remember a refused put to a setpoint; publish what to do if others of the same client were accepted."""
        put = SetpointPut(client, name, None, reason, self._links.clock())
        if self._note(put, self._publisher.state.stored.number):
            self._publisher.publish(Change.STATUS)

    def _note(self, put: SetpointPut, revision: int) -> bool:
        """Note a put; return whether the advice changed. Another revision ends what was missing in the last one."""
        if self._revision != self._publisher.state.stored.number:
            self._recent = self._recent.without_unfinished()
        self._recent, self._revision = self._recent.after(put), revision
        return self._publisher.set_notice(revision, advice(self._recent.unfinished))
