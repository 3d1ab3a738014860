"""Requests that the parser refuses, with words of its message: unit tests try all, tests over CA one of each kind."""

import json

from ponikeeper.protocol import MAX_BYTES
from speak import commit_text


def by_request(**more):
    """Write a commit with the id "bad"; `more` replaces and adds keys."""
    return commit_text("bad", **more)


def changed(**values):
    """Write a commit of some values with the id "bad"."""
    return by_request(geometry=values)


BAD_REQUESTS = {
    "unknown key": (by_request(colour="red"), 'unknown key "colour"'),
    "misspelt key": (by_request(lable="near"), "did you mean label?"),
    "unknown value": (changed(distance=0.3), 'unknown value "distance" (did you mean dist?)'),
    "unknown provenance": (by_request(provenance={"colour": 1}), 'unknown key "provenance.colour"'),
    "bad label": (by_request(label="7 near"), 'label "7 near" is not allowed'),
    "unknown op": (json.dumps({"v": 1, "request": "bad", "op": "erase"}), 'op "erase" is unknown'),
    "another version": (by_request(v=2), '"v": 2 is not allowed'),
    "true for a version": (by_request(v=True), '"v": true is not allowed'),
    "no version": (json.dumps({"request": "bad", "op": "commit", "geometry": {}}), '"v" is missing'),
    "no geometry": (json.dumps({"v": 1, "request": "bad", "op": "commit"}), '"geometry" is missing'),
    "revision null": (json.dumps({"v": 1, "request": "bad", "op": "activate", "revision": None}), '"revision": null'),
    "revision 0": (json.dumps({"v": 1, "request": "bad", "op": "activate", "revision": 0}), '"revision": 0'),
    "revision true": (json.dumps({"v": 1, "request": "bad", "op": "activate", "revision": True}), '"revision": true'),
    "key twice": (by_request().replace('"v": 1', '"v": 1, "v": 1'), 'the key "v" is used twice'),
    "value twice": (changed(dist=0.3).replace("0.3", '0.3, "dist": 0.4'), 'the key "dist" is used twice'),
    "raw newline": (by_request(label="a\nb").replace("\\n", "\n"), "caput -S"),
    "quotes lost": (by_request(author='a "b"').replace("\\", ""), "caput -S"),
    "cut": (by_request()[:-9], "the text was probably cut"),
    "cut in a text": (by_request(author="somebody")[:-9], "the text was probably cut"),
    "cut by its client": (by_request(author="x" * MAX_BYTES)[:MAX_BYTES], "fills its PV"),
    "full to the last byte": (by_request() + " " * (MAX_BYTES - len(by_request())), "fills its PV"),
    "not UTF-8": (by_request(author="#").encode().replace(b"#", b"\xff"), "is not UTF-8"),
    "nested too deeply": (by_request().replace('"v": 1', '"v": 1, "a": ' + "[" * 99 + "]" * 99), "nested too deeply"),
}
"""Texts whose id can be read: "bad"."""

WITHOUT_ID = {
    "nothing": ("", "is not valid JSON"),
    "no JSON": ("hello", "is not valid JSON"),
    "a list": ("[]", "is not a JSON object"),
    "quotes stripped by the shell": ("{v: 1, op: commit}", "caput -S"),
    "no id": (commit_text("").replace('"request": "", ', ""), '"request" is missing'),
    "id is a number": (commit_text("#").replace('"#"', "7"), '"request": 7 is not allowed'),
    "id null": (commit_text("#").replace('"#"', "null"), '"request": null is not allowed'),
    "id too long": (commit_text("x" * 101), '"request": '),
}
"""Texts without an id that can be read."""
