"""Stands for an areaDetector IOC: attributes by libca's monitors, and the files that its HDF5 plugin writes of them.

What ADCore's PVAttribute and NDFileHDF5 do is done here in the same way, because the reader of the files has to cope
with it: the type of an attribute is that of the first connection; a PV that disconnects keeps its last value; a char
waveform that is read as DBR_STRING is a text up to its NUL; the type of a dataset is that of the attribute when the
file is opened, and float32 where the PV was not connected then; a text is cut at 256 bytes.
"""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree as ET

import h5py
import numpy as np
from epicscorelibs.ca import cadef, dbr

from live import wait_for

_EPICS_EPOCH = 631152000
_TEXT_BYTES = 256
_CHAR, _STRING, _ENUM = dbr.DBR_CHAR, dbr.DBR_STRING, dbr.DBR_ENUM
_NATIVE = {_STRING: _STRING, dbr.DBR_SHORT: dbr.DBR_SHORT, dbr.DBR_FLOAT: dbr.DBR_FLOAT, _ENUM: dbr.DBR_SHORT,
           _CHAR: _CHAR, dbr.DBR_LONG: dbr.DBR_LONG, dbr.DBR_DOUBLE: dbr.DBR_DOUBLE}  # fmt: skip
_TYPES = {_STRING: "str", dbr.DBR_SHORT: "int16", dbr.DBR_FLOAT: "float32", _ENUM: "int16", _CHAR: "int8",
          dbr.DBR_LONG: "int32", dbr.DBR_DOUBLE: "float64"}  # fmt: skip
_REQUESTED = {f"DBR_{name}": getattr(dbr, f"DBR_{name}")
              for name in ("STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE")}  # fmt: skip
_DBE_VALUE = 1


class PVAttribute:
    """One attribute of type EPICS_PV.

    Parameters
    ----------
    element
        Its element of the NDAttributes file.
    """

    def __init__(self, element: ET.Element) -> None:
        self.name, self.source = element.get("name", ""), element.get("source", "")
        self.description = element.get("description", "")
        self._requested = _REQUESTED.get(element.get("dbrtype", "DBR_NATIVE"))
        self._lock = threading.Lock()
        self._value: Any = None
        self.kind: str | None = None
        """NumPy's name of the type, ``str`` for texts; None before the first connection."""
        self._connected = cadef.connection_handler(self._on_connection)
        self._changed = cadef.event_handler(self._on_value)
        self._channel = ctypes.c_void_p()
        self._event = ctypes.c_void_p()

    def connect(self) -> None:
        """Create the channel, in the present context of libca."""
        cadef.ca_create_channel(self.source, self._connected, None, 10, ctypes.byref(self._channel))

    def value(self) -> Any:
        """Return the last value that arrived; None before the first one."""
        with self._lock:
            return self._value

    def _on_connection(self, args: Any) -> None:
        if args.op != cadef.CA_OP_CONN_UP or self.kind is not None:
            return  # a disconnection changes nothing, and a second connection neither
        field, count = cadef.ca_field_type(args.chid), 1
        requested = _NATIVE[field] if self._requested is None else self._requested
        kind = _TYPES[requested]
        if field == _CHAR and self._requested == _STRING:
            requested, count = _CHAR, cadef.ca_element_count(args.chid)
        self.kind, self._sent = kind, requested
        cadef.ca_create_subscription(
            requested, count, args.chid, _DBE_VALUE, self._changed, None, ctypes.byref(self._event)
        )

    def _on_value(self, args: Any) -> None:
        if args.status != cadef.ECA_NORMAL:
            return
        with self._lock:
            if self.kind == "str":
                self._value = ctypes.string_at(args.raw_dbr)  # up to the NUL
            else:
                size = np.dtype(self.kind).itemsize
                self._value = np.frombuffer(ctypes.string_at(args.raw_dbr, size), self.kind)[0]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with the values that its attributes had when it was taken.

    Parameters
    ----------
    number
        From 1 on.
    time
        When it was taken (s since 1970).
    """

    number: int
    time: float
    data: Any
    values: dict[str, Any]


class Driver:
    """A driver that reads attributes with each frame.

    Parameters
    ----------
    attributes
        The NDAttributes file.
    shape
        Shape (y, x) of its frames.
    """

    def __init__(self, attributes: str, shape: tuple[int, int]) -> None:
        self.attributes = [PVAttribute(element) for element in ET.fromstring(attributes).findall("Attribute")]
        self._shape = shape
        self._frames = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="areaDetector")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        """Hold a context of libca of its own, with callbacks from its own threads."""
        cadef.ca_context_create(1)
        for attribute in self.attributes:
            attribute.connect()
        cadef.ca_flush_io()
        self._end.wait()
        cadef.ca_context_destroy()

    def value(self, name: str) -> Any:
        """Return the last value of an attribute."""
        return next(attribute for attribute in self.attributes if attribute.name == name).value()

    def until(self, condition: Callable[[], Any] | None = None) -> None:
        """Wait until every attribute has a value, and for a condition."""
        wait_for(lambda: all(attribute.value() is not None for attribute in self.attributes), what="all attributes")
        if condition is not None:
            wait_for(condition)

    def expose(self, at: float | None = None) -> Frame:
        """Expose a frame now; `at` is another time of it (s since 1970)."""
        self._frames += 1
        stamp = time.time() if at is None else at
        values = {attribute.name: attribute.value() for attribute in self.attributes}
        data = np.full(self._shape, self._frames, np.uint16)
        return Frame(self._frames, stamp, data, values)


class HDF5Plugin:
    """A file of the HDF5 plugin, by a layout, opened with the types that the attributes have then.

    Parameters
    ----------
    path
        The file.
    layout
        The layout file.
    driver
        Whose frames are written.
    """

    def __init__(self, path: Path, layout: str, driver: Driver) -> None:
        self._file = h5py.File(path, "w")
        self._hardlinks: list[tuple[str, str]] = []
        self._data: list[Any] = []
        self._default = self._file
        self._places: dict[str, tuple[Any, ET.Element]] = {}
        for group in ET.fromstring(layout).findall("group"):
            self._add_group(self._file, group)
        self._columns = {
            attribute.name: self._add_attribute(attribute.name, attribute.kind, attribute)
            for attribute in driver.attributes
        }
        times = {"NDArrayUniqueId": "int32", "NDArrayTimeStamp": "float64", "NDArrayEpicsTSSec": "uint32"}
        for name, kind in {**times, "NDArrayEpicsTSnSec": "uint32"}.items():
            self._columns[name] = self._add_attribute(name, kind)
        self._count = 0

    def write(self, frame: Frame) -> None:
        """Append a frame with its attributes."""
        if not self._count:
            for group, name in self._data:
                shape = (0, *frame.data.shape)
                group.create_dataset(name, shape, frame.data.dtype, maxshape=(None, *shape[1:]), chunks=(1, *shape[1:]))
            for link, target in self._hardlinks:
                self._file[link] = self._file[target]
        self._count += 1
        for group, name in self._data:
            group[name].resize(self._count, axis=0)
            group[name][-1] = frame.data
        seconds, rest = divmod(frame.time - _EPICS_EPOCH, 1.0)
        times = {"NDArrayUniqueId": frame.number, "NDArrayTimeStamp": frame.time - _EPICS_EPOCH,
                 "NDArrayEpicsTSSec": int(seconds), "NDArrayEpicsTSnSec": int(rest * 1e9)}  # fmt: skip
        for name, value in {**frame.values, **times}.items():
            dataset, is_defined = self._columns[name]
            dataset.resize(self._count, axis=0)
            if is_defined:
                empty = b"" if dataset.dtype.kind == "S" else 0
                dataset[-1] = empty if value is None else value[:_TEXT_BYTES] if isinstance(value, bytes) else value

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add_group(self, parent: Any, element: ET.Element) -> None:
        group = parent.create_group(element.get("name"))
        self._add_constants(group, element)
        if element.get("ndattr_default") == "true":
            self._default = group
        for child in element:
            name, source = child.get("name", ""), child.get("source")
            if child.tag == "group":
                self._add_group(group, child)
            elif child.tag == "hardlink":
                self._hardlinks.append((f"{group.name}/{name}", child.get("target", "")))
            elif child.tag == "dataset" and source == "detector":
                self._data.append((group, name))
            elif child.tag == "dataset" and source == "ndattribute":
                self._places[child.get("ndattribute", "").lower()] = (group, child)
            elif child.tag == "dataset":
                value = child.get("value", "").encode()
                group.create_dataset(name, (1,), data=np.array([value], f"S{len(value) + 1}"))

    def _add_constants(self, target: Any, element: ET.Element) -> None:
        for each in element.findall("attribute"):
            value = each.get("value", "")
            numbers = [float(part) for part in value.split(",")] if each.get("type") == "float" else None
            target.attrs[each.get("name")] = np.bytes_(value) if numbers is None else numbers

    def _add_attribute(self, name: str, kind: str | None, attribute: PVAttribute | None = None) -> tuple[Any, bool]:
        """Make the dataset of an attribute; also return whether its type was known."""
        group, element = self._places.get(name.lower(), (self._default, None))
        text = h5py.h5t.C_S1.copy()
        text.set_size(_TEXT_BYTES)
        dtype = h5py.Datatype(text) if kind == "str" else np.dtype(kind or "float32")
        dataset = group.create_dataset(
            name if element is None else element.get("name"), (0,), dtype, maxshape=(None,), chunks=(16,),
            fillvalue=None if kind else np.nan,
        )  # fmt: skip
        if element is not None:
            self._add_constants(dataset, element)
        described = {"NDAttrName": name}
        if attribute is not None:
            described |= {"NDAttrDescription": attribute.description, "NDAttrSourceType": "NDAttrSourceEPICSPV",
                          "NDAttrSource": attribute.source}  # fmt: skip
        for key, value in described.items():
            if value:
                dataset.attrs[key] = np.bytes_(value)
        return dataset, kind is not None


class Camera:
    """An areaDetector IOC with one detector and one HDF5 plugin.

    Parameters
    ----------
    attributes, layout
        Texts of its NDAttributes file and its layout.
    shape
        Shape (y, x) of its frames.
    """

    def __init__(self, attributes: str, layout: str, shape: tuple[int, int] = (4, 6)) -> None:
        self.driver, self._layout = Driver(attributes, shape), layout
        self._file: HDF5Plugin | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.__exit__()

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Write the frames to a file."""
        self._file = HDF5Plugin(path, self._layout, self.driver)
        try:
            yield
        finally:
            self._file.close()
            self._file = None

    def expose(self, count: int = 1, at: float | None = None) -> None:
        """Expose frames and write them; `at` is another time of them (s since 1970)."""
        assert self._file is not None
        for _ in range(count):
            self._file.write(self.driver.expose(at))

    def value(self, name: str) -> Any:
        """Return the last value of an attribute."""
        return self.driver.value(name)
