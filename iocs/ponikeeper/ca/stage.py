"""Staged values: edited one by one on a screen, committed together."""

from typing import Any

from ponikeeper.ca.puts import MANUAL, Puts
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.geometry import value_problem
from ponikeeper.geometry.parameters import Limits
from ponikeeper.protocol import Commit, Result


class Stage:
    """The staged values of one detector.

    Parameters
    ----------
    puts
        Runs and refuses requests.
    limits
        Limits of this detector, tighter than the general ones.
    """

    def __init__(self, puts: Puts, limits: Limits) -> None:
        self._puts = puts
        self._limits = limits
        self.values: dict[str, object] = {}
        self._base_revision = 0

    async def put(self, name: str, value: Any, active: int) -> None:
        """Stage one value; raises `RefusedError` if it can never be accepted.

        Parameters
        ----------
        active
            Number of the active revision; 0 is none.
        """
        problem = value_problem(name, value, self._limits)
        if problem is not None:
            await self._puts.refuse((problem,))
        if not self.values:
            self._base_revision = active
        self.values[name] = value

    async def apply(self, active: int, identity: ClientIdentity) -> Result:
        """Commit the staged values and return the result; raises `RefusedError` and keeps them if that is refused."""
        if not self.values:
            await self._puts.refuse(("nothing is staged: put values to the Stage: fields first",))
        applied = dict(self.values)
        if self._base_revision != active:
            await self._puts.refuse(
                (
                    f"revision {active} was activated since the first staged value "
                    f"(revision {self._base_revision} was active then): check it, then Stage:Clear and stage again",
                )
            )
        commit = Commit(applied, MANUAL, expect_revision=self._base_revision, edit=True)
        result = await self._puts.execute(commit, identity)
        self.values = {name: value for name, value in self.values.items() if applied.get(name) != value}
        return result

    def clear(self) -> None:
        """Discard the staged values."""
        self.values = {}
