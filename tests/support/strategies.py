"""What hypothesis draws from: JSON values, and geometries that are whole and valid."""

import string

from hypothesis import settings
from hypothesis import strategies as st

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import named_files
from ponikeeper.geometry.parameters import PARAMETERS

settings.register_profile("ponikeeper", deadline=None)  # a busy machine is no defect
settings.load_profile("ponikeeper")

VALUES = {
    "dist": 0.23444808895175748,
    "poni1": 0.20213092921563,
    "poni2": 0.201118731405636,
    "rot1": 0.002211679567029945,
    "rot2": 0.0013946819393390844,
    "rot3": -1.513824744841321e-09,
    "pixel1": 0.0002,
    "pixel2": 0.0002,
    "wavelength": 1.6630000000000002e-11,
    "detector": "Perkin",
    "detector_config": {"orientation": 3, "max_shape": [2048, 2048], "sensor": {"material": "CsI"}},
}
"""A geometry as it is found at a beamline: nickel on a Perkin-Elmer."""

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "

finite = st.floats(allow_nan=False, allow_infinity=False)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=8,
)

detector_names = (
    st.text(PRINTABLE, min_size=1, max_size=38).filter(
        lambda name: name == name.strip() and not set(name) & set("/\\.")
    )
    | st.sampled_from(["Perkin", "Pilatus1M", "Detector", "None", "a: b", "#1", "{}"])  # what could upset a PONI
)

sensors = st.fixed_dictionaries({"material": st.just("Si"), "thickness": st.sampled_from([3e-4, 1e-3, None])})

_OWN_KEYS = ("pixel1", "pixel2", "orientation", "max_shape", "sensor", "parallax")
_other_keys = st.text(max_size=10).filter(lambda key: key.lower() not in _OWN_KEYS)


@st.composite
def detector_configs(draw):
    """Draw the detector configuration of a PONI: the keys that pyFAI knows, and any other."""
    known = st.fixed_dictionaries(
        {},
        optional={
            "orientation": st.integers(1, 4),
            "max_shape": st.lists(st.integers(1, 10_000), min_size=2, max_size=2),
            "sensor": sensors,
            "parallax": st.booleans(),
        },
    )
    others = st.dictionaries(_other_keys, json_values, max_size=2).filter(lambda config: not named_files(config))
    return draw(others) | draw(known)


def numbers(name, lower=None, upper=None):
    """Draw one parameter of a geometry from all that is allowed, or from a part of it."""
    parameter = PARAMETERS[name]
    low = parameter.lower if lower is None else lower
    high = parameter.upper if upper is None else upper
    return st.floats(low, high, exclude_min=parameter.above_zero and low == 0)


def geometries(**given):
    """Draw geometries; `given` names the strategies that replace the widest ones."""
    drawn = {name: numbers(name) for name in PARAMETERS}
    drawn |= {"detector": detector_names, "detector_config": detector_configs()}
    return st.builds(Geometry, **(drawn | given))
