"""Detectors to which something happens in the middle of a run, and what the run recorded of it."""

from uuid import uuid4

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.utils import Msg
from event_model import DocumentNames, schema_validators
from ophyd import Component as Cpt
from ophyd import Signal
from ophyd.sim import NullStatus

import speak
from panels import FlatPanel
from ponikeeper.errors import RecordError
from speak import GEOMETRY, commit_text


class Scripted(FlatPanel):
    """A detector to which something happens at its n-th trigger, or its n-th reading."""

    number = Cpt(Signal, value=0, kind="normal")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.script = {}
        self.done = {"trigger": 0, "read": 0}

    def happen(self, what):
        """Count, and do what is to happen now."""
        self.done[what] += 1
        self.script.pop((what, self.done[what]), lambda: None)()

    def trigger(self):
        self.happen("trigger")
        return NullStatus()

    def read(self):
        found = super().read()
        self.happen("read")
        return found


def commit(panel, dist):
    """Commit, as another session would, and return the serial when it is active."""
    result = speak.request(panel.calib.prefix, commit_text(uuid4().hex, geometry={**GEOMETRY, "dist": dist}))
    assert result["outcome"] == "accepted", result["errors"]
    return result["serial"]


def recorded(run, key, stream="primary", name="pe1"):
    """Return the value of a configuration key for each event of a stream, in their order."""
    descriptors = {descriptor["uid"]: descriptor for descriptor in run["descriptor"]}
    for descriptor in run["descriptor"]:
        schema_validators[DocumentNames.descriptor].validate(descriptor)
    mine = [descriptors[event["descriptor"]] for event in run.get("event", ())]
    return [one["configuration"][name]["data"][f"{name}_calib_{key}"] for one in mine if one["name"] == stream]


def attempt(run_engine, plan, error=RecordError):
    """Run a plan that fails; return its documents by kind, and the error message."""
    run = {}
    with pytest.raises(error) as failed:
        run_engine(plan, lambda kind, document: run.setdefault(kind, []).append(document))
    return run, str(failed.value)


AFTER_SAVE = 5
"""Before which message of `steps` an event is complete."""


def steps(panel, pause):
    """Return a plan of three events that pauses in one of them, before the message of that number."""

    @bpp.run_decorator()
    def plan():
        for event in (1, 2, 3):
            yield from bps.checkpoint()
            messages = [
                Msg("trigger", panel, group="exposure"), Msg("wait", None, group="exposure"),
                Msg("create", None, name="primary"), Msg("read", panel), Msg("save"), Msg("null"),
            ]  # fmt: skip
            for number, message in enumerate(messages):
                if (event, number) == pause:
                    yield from bps.pause()
                yield message

    return plan()
