"""Values that are edited one by one on a screen, and committed as one."""

from typing import Any

from ponikeeper.ca.channels import ClientIdentity
from ponikeeper.ca.puts import MANUAL, Puts
from ponikeeper.geometry import value_problem
from ponikeeper.geometry.parameters import Limits
from ponikeeper.protocol import Commit, Result


class Stage:
    """What is staged of one detector.

    Parameters
    ----------
    puts
        Who runs and refuses transactions.
    limits
        Tighter limits of this detector.
    """

    def __init__(self, puts: Puts, limits: Limits) -> None:
        self._puts = puts
        self._limits = limits
        self.values: dict[str, object] = {}
        self._base_revision = 0

    async def put(self, name: str, value: Any, active: int) -> None:
        """Stage one value; raises `RefusedError` where it can never be accepted.

        Parameters
        ----------
        in_force
            Number of the revision in force.
        """
        problem = value_problem(name, value, self._limits)
        if problem is not None:
            await self._puts.refuse((problem,))
        if not self.values:
            self._base_revision = active
        self.values[name] = value

    async def apply(self, active: int, identity: ClientIdentity) -> Result:
        """Commit what is staged, and give the result; raises `RefusedError`, and keeps it, where that is refused."""
        if not self.values:
            await self._puts.refuse(("nothing is staged: put values to the Stage: fields first",))
        applied = dict(self.values)
        if self._base_revision != active:
            await self._puts.refuse(
                (
                    f"revision {active} came into force since the first staged value "
                    f"(revision {self._base_revision} was then): look at it, then Stage:Clear and stage anew",
                )
            )
        commit = Commit(applied, MANUAL, position="now", derived=True, expect_revision=self._base_revision)
        result = await self._puts.execute(commit, identity)
        self.values = {name: value for name, value in self.values.items() if applied.get(name) != value}
        return result

    def clear(self) -> None:
        """Forget what is staged."""
        self.values = {}
