"""What is printed of a model in a file."""

from dataclasses import replace

import pytest

import chains
from ponikeeper.errors import ConfigError, GeometryError, ModelError
from ponikeeper.geometry.kinematics import Span
from ponikeeper_client.model import show
from ponikeeper_client.model.source import ModelSource

MODEL = chains.model(chains.chain("rail", 1))
BARE = replace(MODEL, fit={"members": [{"revision": 3, "uid": "a"}]}, spans={"z": Span(-500.0, 500.0)})
SOURCE = ModelSource("travel.json", BARE)


def test_model_of_which_only_the_numbers_of_its_members_are_known_is_shown(capsys):
    show.show(SOURCE, as_json=False)
    assert "revision 3" in capsys.readouterr().out


def test_poni_file_names_members_that_have_no_name(tmp_path):
    show.write_poni(tmp_path / "here.poni", SOURCE, BARE.reference)
    assert ", from revision 3\n" in (tmp_path / "here.poni").read_text()


def test_position_of_what_is_no_joint_is_refused():
    with pytest.raises(ConfigError, match=r"^q is no joint of this model: expected z \(mm\)$"):
        show.predict(SOURCE, {"z": 20.0, "q": 4.0}, as_json=False)
    with pytest.raises(ConfigError, match=r"did you mean z\?"):
        show.predict(SOURCE, {"Z": 20.0}, as_json=False)


def test_position_without_a_geometry_is_refused_without_a_unit():
    with pytest.raises(GeometryError, match="out of range: expected 0 < dist <= 100 m"):
        show.predict(SOURCE, {"z": 1e9}, as_json=False)


def test_range_whose_limits_overflow_is_an_error_of_the_model():
    far = replace(MODEL, spans={"z": Span(-1e308, 1e308)})
    with pytest.raises(ModelError, match="the numbers of the model are too large"):
        show.print_range(ModelSource("far.json", far), as_json=True)
