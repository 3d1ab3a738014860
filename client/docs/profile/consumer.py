"""A reducer that was written for xpdAcq: it integrates each image as it arrives, with ``calibration_md``.

``python consumer.py 127.0.0.1:5578 patterns.jsonl``
"""

import json
import sys

from bluesky.callbacks import CallbackBase
from bluesky.callbacks.zmq import RemoteDispatcher
from pyFAI.integrator.azimuthal import AzimuthalIntegrator


class Reducer(CallbackBase):
    """Writes a line for each start document, and one for each event: where its strongest ring is (1/nm)."""

    def __init__(self, output):
        self._output = output

    def start(self, doc):
        self._run, calibration_md = doc["uid"], doc.get("calibration_md")
        self._integrator = None if calibration_md is None else AzimuthalIntegrator()
        if calibration_md is not None:
            self._integrator.set_config(calibration_md)
        self._write(run=self._run, calibration_md=calibration_md)

    def event(self, doc):
        ring = None
        if self._integrator is not None:
            pattern = self._integrator.integrate1d(doc["data"]["pe1c_image"], 2000, unit="q_nm^-1")
            ring = float(pattern.radial[pattern.intensity.argmax()])
        self._write(run=self._run, event=doc["uid"], ring=ring)
        return doc

    def _write(self, **line):
        print(json.dumps(line), file=self._output, flush=True)


if __name__ == "__main__":
    address, path = sys.argv[1:]
    dispatcher = RemoteDispatcher(address)
    with open(path, "a") as output:
        dispatcher.subscribe(Reducer(output))
        dispatcher.start()
