"""Puts to the PVs of a detector: each is parsed and becomes a request."""

import functools
from collections.abc import Mapping
from typing import Any, NoReturn

from ponikeeper.ca.channels import PutHandler
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.detector.keeper import Keeper
from ponikeeper.errors import MessageError, PoniError, RefusedError
from ponikeeper.geometry import poni
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import (
    Activate,
    Commit,
    Follow,
    InService,
    Label,
    OutOfService,
    RecordPosition,
    Request,
    Result,
    Undo,
    parse_request,
    require_whole,
)
from ponikeeper.protocol.pvs import setpoint
from ponikeeper.protocol.schema import FIELDS
from ponikeeper.text import strictjson
from ponikeeper.text.schema import object_problems

MANUAL = {"method": "manual"}


class Puts:
    """The handlers of the puts that become requests.

    Parameters
    ----------
    keeper
        Runs the requests.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def handlers(self) -> Mapping[str, PutHandler]:
        """Return the handler of each PV, by suffix."""
        values = {setpoint(name): functools.partial(self._put_value, name) for name in NAMES}
        return values | {
            setpoint("detector_config"): self._put_config,
            "Request": self._put_request,
            "Poni": self._put_poni,
            "RecordPosition": self._put_record_position,
            "Activate": self._put_activate,
            "Undo": self._put_undo,
            "Label": self._put_label,
            "Follow": self._put_follow,
            "OutOfService": self._put_out_of_service,
            "InService": self._put_in_service,
        }

    async def execute(self, request: Request, identity: ClientIdentity) -> Result:
        """Run a request and return its result; raises `RefusedError` unless it is accepted."""
        result = await self._keeper.execute(request, str(identity))
        if result.outcome != "accepted":
            raise RefusedError(result.errors)
        return result

    async def refuse(self, problems: tuple[str, ...], op: str = "commit", request: str | None = None) -> NoReturn:
        """Refuse input that is not a valid request; raises `RefusedError`."""
        result = await self._keeper.refuse(problems, op, request)
        raise RefusedError(result.errors)

    async def _put_value(self, name: str, value: Any, identity: ClientIdentity) -> Result | None:
        return await self.execute(Commit({name: value}, MANUAL, edit=True), identity)

    async def _put_config(self, text: bytes, identity: ClientIdentity) -> Result | None:
        try:
            require_whole(text, "detector_config")
            config = strictjson.loads(text.decode("utf-8"))
        except MessageError as error:
            await self.refuse(error.problems)
        except ValueError as error:
            await self.refuse((f"DetectorConfig is not valid JSON: {error}",))
        return await self._put_value("detector_config", config, identity)

    async def _put_request(self, text: bytes, identity: ClientIdentity) -> Result | None:
        try:
            request = parse_request(text)
        except MessageError as error:
            await self.refuse(error.problems, error.op or "commit", error.request)
        return await self.execute(request, identity)

    async def _put_poni(self, text: bytes, identity: ClientIdentity) -> Result | None:
        try:
            require_whole(text, "PONI")
            geometry = poni.read(text)
        except (MessageError, PoniError) as error:
            await self.refuse(error.problems)
        commit = Commit(geometry.as_dict(), {"method": "poni"}, inherit=False, values_only=True)
        return await self.execute(commit, identity)

    async def activate(self, revision: int | str, identity: ClientIdentity) -> Result:
        """Activate the selected revision, or the one with a label; 0 is none."""
        if revision == 0:
            nothing = "no revision is selected: expected its number in History:Select, or in Activate"
            await self.refuse((nothing,), "activate")
        return await self.execute(Activate(revision), identity)

    async def _put_record_position(self, state: str, identity: ClientIdentity) -> Result | None:
        return await self.execute(RecordPosition(), identity) if state == "Do" else None

    async def _put_activate(self, text: str, identity: ClientIdentity) -> Result | None:
        text = text.strip()
        if not text:
            await self.refuse(("Activate is empty: expected a revision number or a label",), "activate")
        return await self.execute(Activate(int(text) if text.isascii() and text.isdigit() else text), identity)

    async def _put_undo(self, state: str, identity: ClientIdentity) -> Result | None:
        return await self.execute(Undo(), identity) if state == "Do" else None

    async def _put_label(self, text: str, identity: ClientIdentity) -> Result | None:
        return await self.execute(Label(text.strip() or None), identity)

    async def _put_out_of_service(self, text: bytes, identity: ClientIdentity) -> Result | None:
        name, _, reason = text.decode("utf-8", "replace").partition(":")
        values = {"link": name.strip(), "reason": reason.strip()}
        problems = object_problems(values, {key: FIELDS["out_of_service"][key] for key in values})
        if problems:
            example = 'expected the name of a link and the reason, such as "z: controller is being repaired"'
            await self.refuse(tuple(f"OutOfService: {problem}; {example}" for problem in problems), "out_of_service")
        return await self.execute(OutOfService(**values), identity)

    async def _put_in_service(self, text: str, identity: ClientIdentity) -> Result | None:
        return await self.execute(InService(text.strip()), identity)

    async def _put_follow(self, state: str, identity: ClientIdentity) -> Result | None:
        return await self.execute(Follow(state == "On"), identity)
