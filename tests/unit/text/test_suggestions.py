"""The name that was probably meant."""

from ponikeeper.geometry.geometry import unknown_names
from ponikeeper.text.schema import Field, object_problems
from ponikeeper.text.suggestions import suggestion


def test_close_name_is_suggested():
    assert suggestion("dits", ("dist", "poni1")) == " (did you mean dist?)"
    assert suggestion("Z", ("x", "z")) == " (did you mean z?)"
    assert suggestion("qsum", ("Qsum", "x")) == " (did you mean Qsum?)"
    assert suggestion("x" * 1000, ("dist", "poni1")) == suggestion("zzz", ("dist", "poni1")) == ""


def test_thousands_of_unknown_names_make_a_short_message():
    names = {f"dist{number}": 1 for number in range(5000)}
    assert unknown_names(names)[10:] == ["4990 more unknown values"]
    fields = {"dist": Field("a number", lambda _: True)}
    assert object_problems(names, fields)[10:] == ["4990 more unknown keys"]
