"""Values of a geometry as pyFAI's ``get_config()`` and ``getPyFAI()`` write them. It needs no pyFAI."""

from collections.abc import Mapping
from typing import Any, cast

from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.text import strictjson

_CONFIG = ("orientation", "max_shape", "sensor", "parallax")
_PIXELS = ("pixel1", "pixel2")


def plain_values(config: Mapping[str, Any]) -> dict[str, object]:
    """Return the values of a geometry from a mapping of pyFAI.

    Parameters
    ----------
    config
        With the pixel sizes and the options of the detector at its top level, or within ``detector_config``; values
        that are None are absent. A ``detector_config`` without the pixel sizes leaves those that pyFAI knows.

    Returns
    -------
    dict
        The values that are there, as plain JSON types, for `Geometry.parse`; keys of the file's format are omitted.

    Raises
    ------
    TypeError, ValueError
        An option of the detector is not valid JSON.
    """
    nested = config.get("detector_config")
    inner = cast("Mapping[str, Any]", nested) if isinstance(nested, Mapping) else None
    sizes = None if inner is None else pixel_size(str(config.get("detector")))
    inner = inner or {}
    known: dict[str, object] = dict(zip(_PIXELS, sizes or (), strict=False))
    own: dict[str, object] = {key: inner.get(key) for key in _PIXELS}
    layers: tuple[Mapping[str, object], ...] = (known, own, config)
    values = {key: layer[key] for layer in layers for key in PARAMETERS if layer.get(key) is not None}
    options = {key: config[key] for key in _CONFIG if config.get(key) is not None}
    options |= {key: each for key, each in inner.items() if each is not None and key not in _PIXELS}
    plain = strictjson.loads(strictjson.dumps(options))  # pyFAI's own values are of its own types
    return {**values, "detector": config.get("detector") or "Detector", "detector_config": plain}
