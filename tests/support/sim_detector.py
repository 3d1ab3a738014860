"""A real areaDetector IOC for tests: ADSimDetector with the HDF5 plugin, where it is installed.

``PONIKEEPER_SIM_DETECTOR`` names its program; ``EPICS_DB_INCLUDE_PATH`` the folders of its databases.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aioca

from live import wait_for
from ponikeeper_client._image_files.frame_attributes import read_attributes
from speak import TIMEOUT, get, run

PROGRAM = os.environ.get("PONIKEEPER_SIM_DETECTOR")

_COMMANDS = """
dbLoadDatabase("{dbd}")
simDetectorApp_registerRecordDeviceDriver(pdbbase)
simDetectorConfig("SIM1", 64, 48, 3, 0, 0)
dbLoadRecords("simDetector.template","P={name},R=cam1:,PORT=SIM1,ADDR=0,TIMEOUT=1")
NDFileHDF5Configure("HDF1", 5000, 0, "SIM1", 0)
NDFileHDF5Configure("HDF2", 5000, 0, "SIM1", 0)
dbLoadRecords("NDFileHDF5.template","P={name},R=HDF1:,PORT=HDF1,ADDR=0,TIMEOUT=1,XMLSIZE=2048,NDARRAY_PORT=SIM1")
dbLoadRecords("NDFileHDF5.template","P={name},R=HDF2:,PORT=HDF2,ADDR=0,TIMEOUT=1,XMLSIZE=2048,NDARRAY_PORT=SIM1")
iocInit()
"""

_PLUGINS = ("HDF1", "HDF2")


class SimDetector:
    """ADSimDetector in a process of its own.

    Parameters
    ----------
    folder
        For its files.
    port
        Its CA port, one of the session's.
    search
        Addresses at which it finds the PVs of the attributes.
    """

    def __init__(self, folder: Path, port: int, name: str, search: str) -> None:
        assert PROGRAM is not None
        dbd = Path(PROGRAM).parents[2] / "dbd" / "simDetectorApp.dbd"
        self.name, self._folder = name, folder
        script = folder / "st.cmd"
        script.write_text(_COMMANDS.format(dbd=dbd, name=name))
        environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(port), "EPICS_CA_ADDR_LIST": search}
        with (folder / "sim.log").open("w") as log:
            self._process = subprocess.Popen(
                [PROGRAM, str(script)], cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()

    def configure(self, attributes: str, layout: str) -> None:
        """Load the attributes and the layout."""
        (self._folder / "attributes.xml").write_text(attributes)
        (self._folder / "layout.xml").write_text(layout)
        self._put("cam1:NDAttributesFile", str(self._folder / "attributes.xml"))
        for pv, value in {"AcquireTime": 0.001, "AcquirePeriod": 0.001, "ArrayCallbacks": 1}.items():
            self._put(f"cam1:{pv}", value)
        for plugin in _PLUGINS:
            self._put(f"{plugin}:XMLFileName", str(self._folder / "layout.xml"))
            self._put(f"{plugin}:FileTemplate", "%s%s")
            for pv, value in {"FileWriteMode": 2, "NumCapture": 0, "LazyOpen": 1, "AutoIncrement": 0}.items():
                self._put(f"{plugin}:{pv}", value)
            assert self._get(f"{plugin}:XMLValid_RBV") == 1, "the HDF5 plugin refuses the layout"
        assert self._get("cam1:NDAttributesStatus") == 0, "the driver refuses the attributes"

    def expose(self, count: int = 1, plugin: str = "HDF1") -> None:
        """Expose frames, and wait until a plugin has written them."""
        self._put("cam1:ImageMode", int(count > 1))
        self._put("cam1:NumImages", count)
        expected = self._get(f"{plugin}:NumCaptured_RBV") + count
        self._put("cam1:Acquire", 1)
        wait_for(lambda: self._get(f"{plugin}:NumCaptured_RBV") >= expected, what=f"{count} frames in {plugin}")

    @contextmanager
    def writing(self, path: Path, plugin: str = "HDF1") -> Iterator[None]:
        """Write the frames to a file."""
        self._put(f"{plugin}:FilePath", f"{path.parent}/")
        self._put(f"{plugin}:FileName", path.name)
        self._put(f"{plugin}:EnableCallbacks", 1)
        self._put(f"{plugin}:Capture", 1, wait=False)
        wait_for(lambda: self._get(f"{plugin}:Capture_RBV") == 1, what="the capture")
        try:
            yield
        finally:
            self._put(f"{plugin}:Capture", 0)
            wait_for(lambda: self._get(f"{plugin}:WriteFile_RBV") == 0, what="the end of the file")

    def value(self, name: str) -> Any:
        """Return the value that an attribute has now, from a frame that another plugin writes."""
        path = self._folder / "probe.h5"
        self._put("HDF1:EnableCallbacks", 0)
        with self.writing(path, "HDF2"):
            self.expose(plugin="HDF2")
        self._put("HDF2:EnableCallbacks", 0)
        self._put("HDF1:EnableCallbacks", 1)
        (found,) = read_attributes(path)
        return found.columns[name].values[0]

    def _get(self, pv: str) -> int:
        return int(get(self.name + pv))

    def _put(self, pv: str, value: Any, *, wait: bool = True) -> None:
        if isinstance(value, str):
            value = [*value.encode(), 0]
        datatype = aioca.DBR_CHAR if isinstance(value, list) else None
        run(aioca.caput(self.name + pv, value, datatype=datatype, wait=wait, timeout=TIMEOUT))
