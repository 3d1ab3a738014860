"""`ponikeeper list` and `ponikeeper clients`: what an IOC serves, and whom."""

import json

from live import wait_for
from ponikeeper.config import load
from ponikeeper.protocol.pvs import DETECTOR_PVS
from speak import GEOMETRY, Wire, commit_text, monitoring, request


def test_list_has_all_pvs_of_an_ioc_or_those_of_a_detector(call, ioc):
    done = call("list", ioc.config)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [name for name, _ in load(ioc.config).served_pvs()]
    assert call("list", "P:").stdout.splitlines() == [f"P:{pv.suffix}" for pv in DETECTOR_PVS]
    assert call("list", "P:", "--match", "Dist*_RBV").stdout.splitlines() == ["P:Dist_RBV", "P:DistSigma_RBV"]
    none = call("list", "P:", "--match", "dist*")
    assert (none.returncode, none.stderr) == (
        1,
        "--match dist*: no PV of P: has a name like that (there is Dist: upper and lower case count)\n",
    )
    assert call("list", "P:", "--match", "Radius").stderr == "--match Radius: no PV of P: has a name like that\n"


def test_values_have_units_and_severity(call, prefix):
    request(prefix, commit_text("one", geometry=GEOMETRY, label="near"))
    done = call("list", prefix, "--values")
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(None, 1) for line in done.stdout.splitlines() if " " in line.strip())
    assert (shown[f"{prefix}Dist_RBV"], shown[f"{prefix}Status_RBV"]) == (f"{GEOMETRY['dist']} m", "UNWATCHED")
    assert shown[f"{prefix}Label_RBV"] == "near"
    assert shown[f"{prefix}DistSigma_RBV"] == "nan m  INVALID"
    assert max(map(len, done.stdout.splitlines())) < 200


def test_pv_that_does_not_answer_is_named(call):
    done = call("list", "NOBODY:", "--match", "Dist", "--values", "--timeout", 0.2)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "NOBODY:Dist  does not answer within 0.2 s\n")


def test_clients_are_listed_with_their_channels_and_monitors(call, make_ioc):
    ioc = make_ioc().start()
    with Wire(ioc.port) as wire, monitoring(f"{ioc.prefix}Dist_RBV", f"{ioc.prefix}Rot1_RBV"):
        for suffix in ("Dist", "Rot1", "Rot2"):
            wire.channel(f"{ioc.prefix}{suffix}")

        def listed():
            return json.loads(call("clients", ioc.config, "--json").stdout)

        def is_complete():
            found = listed()["clients"]
            return {3} <= {each["channels"] for each in found} and any(each["subscriptions"] >= 2 for each in found)

        wait_for(is_complete, what="the clients")
        assert listed()["count"] == len(listed()["clients"])
        lines = call("clients", f"{ioc.name}{{IOC}}").stdout.splitlines()
        assert lines[0].split() == ["user@host", "address", "channels", "monitors"]
        assert any(line.split()[1].startswith("127.0.0.1:") for line in lines[1:])
