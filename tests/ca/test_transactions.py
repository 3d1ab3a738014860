"""Puts are transactions: atomic, in order, with a result for their client, and safe to repeat."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aioca
import caproto as ca
import pytest
from aioca import DBR_CHAR_STR
from caproto import ChannelType, WriteNotifyResponse

import speak
from live import wait_for
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.pvs import readback, setpoint
from ponikeeper.text import strictjson
from speak import GEOMETRY, TIMEOUT, Wire, commit_text, counters, get, monitoring, put, request, results, run, snapshot

FIT = {
    "method": "fit", "calibrant": "Ni", "residual_px": 0.04, "n_points": 812, "n_rings": 5, "author": "alice",
    "sigma": {"dist": 1e-6}, "accuracy_deg": 0.012, "comment": "before the shutdown", "run_uid": "5f0c",
}  # fmt: skip

OTHER = {
    "dist": 0.31, "poni1": 0.12, "poni2": 0.13, "rot1": 0.003, "rot2": 0.004, "rot3": 0.005,
    "pixel1": 0.00015, "pixel2": 0.00016, "wavelength": 1.7e-11, "detector": "Pilatus1M",
}  # fmt: skip


def begin(prefix, **more):
    """Commit a fit that is labelled near."""
    result = request(prefix, commit_text("begin", provenance=FIT, label="near", **more))
    assert result["outcome"] == "accepted", result
    return result


def test_first_commit_is_whole_and_everywhere_the_same(prefix):
    result = begin(prefix, geometry={**GEOMETRY, "detector_config": {"orientation": 2}})
    assert (result["request"], result["op"], result["revision"], result["serial"]) == ("begin", "commit", 1, 1)
    shown = snapshot(prefix)
    assert shown["geometry"] == {**GEOMETRY, "detector_config": {"orientation": 2}}
    assert (shown["status"], shown["revision"], shown["serial"], shown["label"]) == ("UNWATCHED", 1, 1, "near")
    assert (shown["prefix"], shown["activated"], shown["position"]) == (prefix, result["time"], None)
    for name in NAMES:
        assert get(prefix + readback(name)) == get(prefix + setpoint(name)) == GEOMETRY[name], name
    assert json.loads(get(f"{prefix}DetectorConfig_RBV")) == {"orientation": 2}
    assert poni.read(get(f"{prefix}Poni_RBV")) == Geometry.parse(shown["geometry"])
    for suffix, expected in {
        "Revision_RBV": 1, "Serial_RBV": 1, "Time_RBV": shown["activated"], "Label_RBV": "near", "Method_RBV": "fit",
        "Calibrant_RBV": "Ni", "Residual_RBV": 0.04, "DistSigma_RBV": 1e-6,
        "Accuracy_RBV": 0.012, "NPoints_RBV": 812, "NRings_RBV": 5, "Author_RBV": "alice",
        "RunUid_RBV": "5f0c", "Comment_RBV": "before the shutdown", "Accepted_RBV": 1, "Rejected_RBV": 0,
    }.items():  # fmt: skip
        assert get(prefix + suffix) == expected, suffix
    assert get(f"{prefix}Energy_RBV") == pytest.approx(12.398419843320026 / 0.166)
    assert math.isnan(get(f"{prefix}Poni1Sigma_RBV"))  # the commit has none
    assert math.isnan(get(f"{prefix}BeamX_RBV"))  # the Fit2D view is for orientation 3


def test_ten_puts_are_ten_revisions_each_valid_and_whole(farm, prefix):
    begin(prefix, geometry={**GEOMETRY, "detector_config": {"max_shape": [2048, 2048]}})
    expected = {**GEOMETRY, "detector_config": {"max_shape": [2048, 2048]}}
    with monitoring(f"{prefix}Snapshot_RBV") as (monitor,):
        for number, (name, value) in enumerate(OTHER.items(), start=2):
            assert put(prefix + setpoint(name), value) is None, name
            expected[name] = value
            if name == "detector":  # the pixels that the same client put just before survive it
                expected["detector_config"] = {}
            shown = snapshot(prefix)
            assert (shown["revision"], shown["serial"], shown["geometry"]) == (number, number, expected)
            assert (shown["label"], shown["position"]) == (None, None)
            assert shown["provenance"].pop("author").count("@") == 1
            assert shown["provenance"] == {"method": "manual", "derived_from": number - 1}
        wait_for(lambda: len(monitor.values) == 11)
        seen = [json.loads(str(text)) for text in monitor.values]
    assert [shown["revision"] for shown in seen] == list(range(1, 12))
    for shown in seen:
        Geometry.parse(shown["geometry"])
    assert counters(prefix) == (11, 0)


def test_same_value_twice_is_accepted_and_changes_nothing_the_second_time(prefix):
    begin(prefix)
    assert put(f"{prefix}Dist", 0.3) is None
    before = snapshot(prefix)
    assert put(f"{prefix}Dist", 0.3) is None
    assert snapshot(prefix) == before
    assert before["revision"] == 2
    assert (results(prefix)[0]["outcome"], results(prefix)[0]["revision"]) == ("accepted", 2)
    assert get(f"{prefix}Message_RBV") == "revision 2 has the same content: nothing changed"
    assert counters(prefix) == (3, 0)


def test_put_of_what_is_active_changes_nothing_whatever_its_provenance(prefix):
    """Label, position and provenance of the fit stay."""
    begin(prefix)
    before = snapshot(prefix)
    for suffix, value in [*((setpoint(name), GEOMETRY[name]) for name in NAMES), ("DetectorConfig", "{}")]:
        assert put(prefix + suffix, value) is None, suffix
    assert put(f"{prefix}Poni", get(f"{prefix}Poni_RBV")) is None
    assert put(f"{prefix}Activate", get(f"{prefix}Activate")) is None
    assert put(f"{prefix}Label", get(f"{prefix}Label")) is None
    assert snapshot(prefix) == before
    assert counters(prefix) == (15, 0)


def test_put_of_a_detector_brings_its_pixels_and_empties_its_configuration(prefix):
    begin(prefix, geometry={**GEOMETRY, "detector_config": {"orientation": 2}})
    assert put(f"{prefix}Detector", "Pilatus1M") is None
    geometry = snapshot(prefix)["geometry"]
    pixels = dict(zip(("pixel1", "pixel2"), pixel_size("Pilatus1M"), strict=True))
    assert geometry == {**GEOMETRY, **pixels, "detector": "Pilatus1M", "detector_config": {}}
    assert get(f"{prefix}DetectorConfig") == "{}"


def test_request_may_bring_an_unknown_detector_with_its_pixels(prefix):
    begin(prefix, geometry={**GEOMETRY, "detector_config": {"orientation": 2}})
    text = commit_text("own", geometry={"detector": "Homemade", "pixel1": 5e-5, "pixel2": 6e-5})
    assert request(prefix, text)["outcome"] == "accepted"
    shown = snapshot(prefix)["geometry"]
    assert (shown["detector"], shown["pixel1"], shown["pixel2"], shown["detector_config"]) == (
        "Homemade",
        5e-5,
        6e-5,
        {},
    )


def test_put_of_a_configuration_replaces_it(prefix):
    begin(prefix, geometry={**GEOMETRY, "detector_config": {"max_shape": [2048, 2048]}})
    assert put(f"{prefix}DetectorConfig", '{"orientation": 1}') is None
    assert snapshot(prefix)["geometry"]["detector_config"] == {"orientation": 1}
    assert json.loads(get(f"{prefix}DetectorConfig")) == {"orientation": 1}


def test_poni_replaces_everything_and_reads_back_equal(prefix):
    begin(prefix, geometry={**GEOMETRY, "detector_config": {"orientation": 2}})
    geometry = Geometry.parse({**OTHER, "detector_config": {"orientation": 4, "max_shape": [1043, 981]}})
    assert put(f"{prefix}Poni", poni.write(geometry)) is None
    shown = snapshot(prefix)
    assert Geometry.parse(shown["geometry"]) == geometry
    assert poni.read(get(f"{prefix}Poni_RBV")) == geometry
    assert (shown["label"], shown["position"]) == (None, None)
    assert shown["provenance"] == {"method": "poni", "author": shown["provenance"]["author"]}
    assert get(f"{prefix}Poni") == get(f"{prefix}Poni_RBV")


def test_poni_is_a_first_commit(prefix):
    geometry = Geometry.parse(GEOMETRY)
    assert put(f"{prefix}Poni", poni.write(geometry)) is None
    assert poni.read(get(f"{prefix}Poni_RBV")) == geometry


def test_floats_survive_bit_by_bit(prefix):
    odd = {**GEOMETRY, "dist": math.nextafter(0.3, 1), "poni1": -5e-324, "rot3": -1.513824744841321e-09}
    assert request(prefix, commit_text("odd", geometry=odd))["outcome"] == "accepted"
    shown = strictjson.loads(get(f"{prefix}Snapshot_RBV"))
    assert {name: value.hex() for name, value in shown["geometry"].items() if isinstance(value, float)} == {
        name: value.hex() for name, value in odd.items() if isinstance(value, float)
    }
    assert get(f"{prefix}Dist_RBV").hex() == odd["dist"].hex()


def test_string_put_to_a_number_is_read_as_caput_sends_it(ioc_of, prefix):
    begin(prefix)
    with Wire(ioc_of(prefix).port) as wire:
        answer = wire.put(wire.channel(f"{prefix}Dist"), [b"0.3"], ChannelType.STRING)
        assert isinstance(answer, WriteNotifyResponse)
    assert get(f"{prefix}Dist_RBV") == 0.3


def test_two_puts_in_one_segment_keep_their_order(ioc_of, prefix):
    begin(prefix)
    with Wire(ioc_of(prefix).port) as wire:
        channel = wire.channel(f"{prefix}Dist")
        values = [0.3 + 0.01 * number for number in range(5)]
        wire.send(*(channel.write([value], data_type=ChannelType.DOUBLE, notify=True) for value in values))
        for _ in values:
            assert isinstance(wire.receive((WriteNotifyResponse, speak.ca.ErrorResponse)), WriteNotifyResponse)
    assert get(f"{prefix}Dist_RBV") == values[-1]
    assert snapshot(prefix)["revision"] == 6
    put(f"{prefix}History:Select", 3)
    assert json.loads(get(f"{prefix}History:Selected_RBV"))["geometry"]["dist"] == values[1]


def test_expected_revision_is_the_active_one(prefix):
    begin(prefix, expect_revision=0)
    assert request(prefix, commit_text("second", geometry={"dist": 0.3}, expect_revision=1))["outcome"] == "accepted"
    late = request(prefix, commit_text("third", geometry={"dist": 0.4}, expect_revision=1))
    assert late["outcome"] == "refused"
    assert put(f"{prefix}Activate", "1") is None
    assert request(prefix, commit_text("third", geometry={"dist": 0.4}, expect_revision=1))["revision"] == 3


def test_author_is_the_client_unless_the_request_names_one(prefix):
    begin(prefix)
    assert put(f"{prefix}Dist", 0.3) is None
    assert get(f"{prefix}Author_RBV").count("@") == 1
    assert request(prefix, commit_text("second", geometry={"dist": 0.4}, author="bob"))["outcome"] == "accepted"
    assert get(f"{prefix}Author_RBV") == "bob"


def test_repeated_id_gets_the_first_answer_even_after_a_restart(make_ioc):
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    first = begin(ioc.prefix)
    text = commit_text("second", geometry={"dist": 0.3})
    answer = request(ioc.prefix, text)
    request(ioc.prefix, commit_text("third", geometry={"dist": 0.4}))
    before = snapshot(ioc.prefix)
    assert request(ioc.prefix, text) == answer
    assert snapshot(ioc.prefix) == before
    ioc.kill()
    ioc.start()
    speak.forget()
    assert request(ioc.prefix, text) == answer
    assert request(ioc.prefix, commit_text("begin", provenance=FIT, label="near")) == first
    shown = request(ioc.prefix, commit_text("second", geometry={"dist": 0.31}))
    assert shown["outcome"] == "refused"
    assert 'the request id "second" was used before with other content' in shown["errors"][0]
    assert snapshot(ioc.prefix) == before


def test_repeated_activation_makes_no_second_serial(prefix):
    begin(prefix)
    assert put(f"{prefix}Dist", 0.3) is None
    text = json.dumps({"v": 1, "request": "again", "op": "activate", "revision": 1})
    answer = request(prefix, text)
    assert (answer["revision"], answer["serial"]) == (1, 3)
    assert request(prefix, text) == answer
    assert put(f"{prefix}Activate", "1") is None  # it is active already
    assert snapshot(prefix)["serial"] == 3
    other = request(prefix, text.replace("1}", '"near"}'))
    assert other["outcome"] == "refused"


def test_results_are_the_last_ones_newest_first(prefix):
    begin(prefix)
    for number in range(40):
        put(f"{prefix}Request", commit_text(f"r{number}", geometry={"dist": 0.3 + number / 1000}))
    assert [result["request"] for result in results(prefix)] == [f"r{number}" for number in range(39, 7, -1)]


CLIENT = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import aioca
from aioca import DBR_CHAR_STR

async def main(prefix, name):
    for number in range(2):
        id_ = f"{name}-{number}"
        text = json.dumps({"v": 1, "request": id_, "op": "commit", "author": name,
                           "geometry": {"dist": 0.2 + int(name) / 1000 + number / 10000}})
        await aioca.caput(prefix + "Request", text, datatype=DBR_CHAR_STR, wait=True, timeout=30)
        shown = json.loads(await aioca.caget(prefix + "Results_RBV", datatype=DBR_CHAR_STR))["results"]
        print(json.dumps([result for result in shown if result["request"] == id_]))

aioca.run(main(sys.argv[2], sys.argv[3]))
"""


def test_twenty_clients_at_once_find_each_its_own_result(prefix):
    begin(prefix)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(Path(__file__).parents[1] / "support"), prefix, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]

    async def from_here(number):
        text = commit_text(f"task-{number}", geometry={"poni1": 0.1 + number / 1000})
        await aioca.caput(f"{prefix}Request", text, datatype=DBR_CHAR_STR, wait=True, timeout=TIMEOUT)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: run(from_here(number)), range(16)))
    found = []
    for process in processes:
        out, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0
        answers = [json.loads(line) for line in out.splitlines()]
        assert [len(answer) for answer in answers] == [1, 1]
        found += [answer[0] for answer in answers]
    by_id = {result["request"]: result for result in results(prefix)}
    found += [by_id[f"task-{number}"] for number in range(16)]
    assert {result["outcome"] for result in found} == {"accepted"}
    assert sorted(result["revision"] for result in found) == list(range(2, 26))
    assert sorted(result["serial"] for result in found) == list(range(2, 26))
    assert len({result["time"] for result in found}) == 24
    assert snapshot(prefix)["revision"] == 25
    assert counters(prefix) == (25, 0)


def test_read_after_a_put_on_one_channel_returns_the_new_value(ioc_of, prefix):
    begin(prefix)
    with Wire(ioc_of(prefix).port) as wire:
        channel = wire.channel(f"{prefix}Dist")
        wire.send(channel.write([0.31], notify=False), channel.read(notify=True))
        assert wire.receive((ca.ReadNotifyResponse,)).data[0] == 0.31
