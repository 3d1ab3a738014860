"""A geometry that the configuration names is committed at the first start."""

import json

from configurations import PONI


def test_seed_is_committed_only_at_the_first_start(call, make_ioc):
    ioc = make_ioc(detectors=("Calib:",), more={"Calib:": 'seed = "pe1.poni"'})
    seed = ioc.folder / "pe1.poni"
    seed.write_text(PONI)
    ioc.start()
    first = json.loads(call("show", ioc.prefix, "--json").stdout)
    assert ioc.stop() == 0
    seed.write_text(PONI.replace("0.25", "0.5"))
    ioc.start()
    second = json.loads(call("show", ioc.prefix, "--json").stdout)
    assert (first["revision"], first["serial"], first["geometry"]["dist"]) == (1, 1, 0.25)
    assert first["position"] is None
    assert (first["provenance"]["method"], first["provenance"]["comment"]) == ("poni", "seed pe1.poni")
    assert second == first
