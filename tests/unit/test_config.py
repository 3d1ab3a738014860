"""The configuration: every key is read, and every error is reported with file, key, value and what is allowed."""

import re
from pathlib import Path

import pytest

from configurations import MINIMAL, PONI, in_detector
from ponikeeper.config import Config, load
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import DEFAULT_ERRORS, AssumedErrors
from ponikeeper.protocol.status import SEVERITIES, Severity, Status

WHOLE = """
[ioc]
prefix = "XF:28ID1-CT{IOC:Calib}"
state_dir = "/var/lib/ponikeeper"
interfaces = ["10.28.1.5", "127.0.0.1"]
port = 5064
engineer = "A. Name"
location = "28-ID-1"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE1}Calib:"
title = "Perkin-Elmer 1"
follow = false
settle = 2
seed = "pe1.poni"
[detector.limits]
dist = [0.1, 3]
[[detector.link]]
name = "z"
pv = "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.RBV"
kind = "motor"
units = "mm"
tolerance = 0.05
moving = "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.MOVN"
[[detector.link]]
name = "binning"
pv = "XF:28ID1-ES{Det:PE1}cam1:BinX_RBV"
kind = "equal"
"""


LINK = '[[detector.link]]\nname = "{name}"\npv = "M1.RBV"\nkind = "motor"\nunits = "mm"\ntolerance = 0.1\n'


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "28id1.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_key_is_read(written):
    config = load(written(WHOLE))
    ioc, detector = config.ioc, config.detector[0]
    assert (ioc.prefix, ioc.state_dir) == ("XF:28ID1-CT{IOC:Calib}", "/var/lib/ponikeeper")
    assert (ioc.interfaces, ioc.port) == (("10.28.1.5", "127.0.0.1"), 5064)
    assert (ioc.engineer, ioc.location) == ("A. Name", "28-ID-1")
    assert (detector.prefix, detector.title) == ("XF:28ID1-ES{Det:PE1}Calib:", "Perkin-Elmer 1")
    assert (detector.follow, detector.settle, detector.seed) == (False, 2.0, "pe1.poni")
    assert detector.limits == {"dist": (0.1, 3.0)}
    z, binning = detector.link
    assert (z.name, z.pv, z.kind) == ("z", "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.RBV", "motor")
    assert (z.units, z.tolerance, z.moving) == ("mm", 0.05, "XF:28ID1-ES{Det:PE1-Ax:Z}Mtr.MOVN")
    assert (binning.kind, binning.units, binning.tolerance, binning.moving) == ("equal", "", None, None)
    assert [(link.name, link.units) for link in detector.link] == [("z", "mm"), ("binning", "")]


def test_only_the_prefixes_are_required_and_a_detectors_may_be_empty(written):
    config = load(written(MINIMAL))
    detector = config.detector[0]
    assert (config.ioc.interfaces, config.ioc.port, config.ioc.engineer, config.ioc.location) == (None, None, "", "")
    assert (detector.prefix, detector.title, detector.follow, detector.settle) == ("", "", True, 1.0)
    assert (detector.seed, detector.limits, detector.link) == (None, {}, ())


@pytest.mark.parametrize(
    ("kind", "units"), [("energy", "keV"), ("energy", "eV"), ("wavelength", "m"), ("wavelength", "angstrom")]
)
def test_units_of_the_beam_are_accepted(written, kind, units):
    link = LINK.format(name="beam").replace('"motor"', f'"{kind}"').replace('"mm"', f'"{units}"')
    assert load(written(MINIMAL + link)).detector[0].link[0].units == units


def in_ioc(line: str) -> str:
    return MINIMAL.replace("[ioc]", f"[ioc]\n{line}")


def in_link(old: str, new: str) -> str:
    return MINIMAL + LINK.format(name="first") + LINK.format(name="z").replace(old, new)


MISTAKES = {
    "no table ioc": ('[[detector]]\nprefix = ""', "ioc: missing: expected a table, headed [ioc]"),
    "ioc is no table": (
        'ioc = 5\n[[detector]]\nprefix = ""',
        "ioc = 5: expected a table, headed [ioc]",
    ),
    "no detector": ('[ioc]\nprefix = "a"', "detector: missing: expected one table or more, each headed [[detector]]"),
    "empty list of detectors": (
        'detector = []\n[ioc]\nprefix = "a"',
        "detector = []: expected one table or more, each headed [[detector]]",
    ),
    "one detector in single brackets": (
        '[ioc]\nprefix = "a"\n[detector]\nprefix = "b"',
        "detector = {'prefix': 'b'}: expected one table or more, each headed [[detector]]",
    ),
    "one link in single brackets": (
        MINIMAL + '[detector.link]\nname = "z"',
        "detector 1: link = {'name': 'z'}: expected tables, each headed [[detector.link]]",
    ),
    "unknown table": (MINIMAL + "[iok]\n", "iok = {}: unknown key (did you mean ioc?): expected ioc detector"),
    "source is no key": ("source = 'x'\n" + MINIMAL, "source: unknown key: expected ioc detector"),
    "unknown key of the ioc": (
        in_ioc("prot = 5064"),
        "ioc: prot = 5064: unknown key (did you mean port?): expected prefix state_dir interfaces port",
    ),
    "unknown key of a detector": (
        in_detector('tittle = "PE"'),
        "detector 1: tittle = 'PE': unknown key (did you mean title?): expected prefix title follow settle mismatch ",
    ),
    "unknown key of a link": (
        in_link("tolerance", "tolerence"),
        "detector 1: link 2: tolerence = 0.1: unknown key (did you mean tolerance?): expected name pv kind units",
    ),
    "unknown key of the access rules": (
        MINIMAL + "[access]\nwirte = []\n",
        "access: wirte = []: unknown key (did you mean write?): expected write users file asg",
    ),
    "access rules that say nothing": (MINIMAL + "[access]\n", "access: the table has no rules: expected write ="),
    "access rules in two forms": (
        MINIMAL + "[access]\nwrite = []\nfile = 'a.acf'\n",
        "access: write and file are both given: expected the short form or a file",
    ),
    "group without a file": (
        MINIMAL + "[access]\nusers = ['a']\nasg = 'CALIB'\n",
        'access: asg = "CALIB" names a group of a file: expected file',
    ),
    "network with bits of a host": (
        MINIMAL + "[access]\nwrite = ['10.28.1.5/16']\n",
        'access: write 1: "10.28.1.5/16" (10.28.1.5/16 has host bits set): expected an address or a network such as',
    ),
    "host by name": (MINIMAL + "[access]\nwrite = ['console']\n", 'access: write 1: "console"'),
    "unlike any key": (in_ioc("zzz = 1"), "ioc: zzz = 1: unknown key: expected prefix"),
    "missing prefix of the ioc": (
        MINIMAL.replace('prefix = "IOC:"', ""),
        'ioc: prefix: missing: expected the prefix of its PVs, such as "XF:28ID1-ES{Det:PE1}Calib:"',
    ),
    "missing prefix of a detector": (
        MINIMAL.replace('prefix = ""', ""),
        'detector 1: prefix: missing: expected the prefix of its PVs, such as "XF:28ID1-ES{Det:PE1}Calib:"',
    ),
    "prefix with a blank": (
        MINIMAL.replace('"IOC:"', '"I OC"'),
        "ioc: prefix = 'I OC': expected the prefix of its PVs, such as",
    ),
    "prefix of too many bytes": (
        MINIMAL.replace('""', f'"{"x" * 61}"'),
        "letters, digits and _-+:;.[]<>{}, at most 60 bytes",
    ),
    "prefix that leaves no room for a PV": (
        MINIMAL.replace('""', f'"{"x" * 50}"'),
        f'prefix "{"x" * 50}" of detector 1: {"x" * 50}Stage:Poni1 has 61 bytes, at most 60',
    ),
    "prefix that is a number": (MINIMAL.replace('""', "5"), "detector 1: prefix = 5: expected the prefix of its PVs"),
    "address that is none": (
        in_ioc('interfaces = ["10.28.1.5", "beamline"]'),
        'ioc: interfaces 2: "beamline" is not an IPv4 address: expected one such as 10.28.1.5',
    ),
    "no address at all": (in_ioc("interfaces = []"), "ioc: interfaces = []: tuple should have at least 1 item"),
    "port that is a text": (in_ioc('port = "5064"'), "ioc: port = '5064': input should be a valid integer"),
    "port out of range": (in_ioc("port = 70000"), "ioc: port = 70000: input should be less than or equal to 65535"),
    "follow that is a number": (in_detector("follow = 1"), "detector 1: follow = 1: input should be a valid boolean"),
    "settle below zero": (in_detector("settle = -1"), "settle = -1: input should be greater than or equal to 0"),
    "settle that never ends": (in_detector("settle = inf"), "detector 1: settle = inf: input should be"),
    "empty seed": (in_detector('seed = ""'), "detector 1: seed = '': string should have at least 1 character"),
    "empty state_dir": (in_ioc('state_dir = ""'), "ioc: state_dir = '': string should have at least 1 character"),
    "limits that are no table": (
        in_detector("limits = 3"),
        "limits: 3 is not a table: expected such as dist = [0.1, 3.0]",
    ),
    "limits of what has none": (
        in_detector("limits = {distance = [0.1, 3]}"),
        'detector 1: limits: "distance" has no limits: expected dist poni1 poni2 rot1',
    ),
    "limits that are one number": (
        in_detector("limits = {dist = 3}"),
        "detector 1: limits: dist = 3: expected [lowest, highest] in m",
    ),
    "three limits": (in_detector("limits = {dist = [1, 2, 3]}"), "dist = [1, 2, 3]: expected [lowest, highest] in m"),
    "limit that is a text": (in_detector('limits = {dist = ["a", 3]}'), "dist = ['a', 3]: expected two numbers with"),
    "limit that is no number": (
        in_detector("limits = {dist = [nan, 3]}"),
        "dist = [nan, 3]: expected two numbers with",
    ),
    "limits wider than the field's": (
        in_detector("limits = {dist = [0.1, 101]}"),
        "detector 1: limits: dist = [0.1, 101]: expected two numbers with 0 < dist <= 100 m",
    ),
    "limits the wrong way round": (
        in_detector("limits = {dist = [3, 1]}"),
        "dist = [3, 1]: expected the lower value first",
    ),
    "unknown kind": (
        in_link('"motor"', '"moter"'),
        "detector 1: link 2: kind = 'moter': expected one of motor, energy, wavelength, equal",
    ),
    "link without a kind": (
        in_link('kind = "motor"\n', ""),
        "detector 1: link 2: kind: missing: expected one of motor, energy",
    ),
    "link without a pv": (
        in_link('pv = "M1.RBV"', ""),
        "detector 1: link 2: pv: missing: expected a PV name: ASCII without blanks",
    ),
    "link with a pv with a blank": (in_link("M1.RBV", "M1 RBV"), "link 2: pv = 'M1 RBV': expected a PV name"),
    "link with a name that is none": (
        in_link('"z"', '"2z"'),
        "detector 1: link 2: name = '2z': expected a letter, then letters, digits and _",
    ),
    "link without units": (
        in_link('units = "mm"', ""),
        "detector 1: link 2: units missing: a link of kind motor needs units and tolerance",
    ),
    "link without units and tolerance": (
        in_link('units = "mm"\ntolerance = 0.1', ""),
        "detector 1: link 2: units and tolerance missing",
    ),
    "energy in mm": (
        in_link('"motor"', '"energy"'),
        'detector 1: link 2: units "mm" not allowed for kind energy: expected keV or eV',
    ),
    "wavelength in mm": (
        in_link('"motor"', '"wavelength"'),
        'detector 1: link 2: units "mm" not allowed for kind wavelength: expected m or angstrom',
    ),
    "equal with a tolerance": (
        in_link('"motor"', '"equal"'),
        "detector 1: link 2: tolerance does not belong to a link of kind equal: any change counts",
    ),
    "equal with a scale": (
        in_link('"motor"\nunits = "mm"\ntolerance = 0.1', '"equal"\nscale_sigma = 1e-4'),
        "detector 1: link 2: scale_sigma does not belong to a link of kind equal: it is that of a motor",
    ),
    "scale beyond its limits": (
        in_link("0.1", "0.1\nscale_sigma = 0.2"),
        "link 2: scale_sigma = 0.2: input should be less than or equal to 0.1",
    ),
    "tolerance that is a text": (
        in_link("0.1", '"x"'),
        "detector 1: link 2: tolerance = 'x': input should be a valid number",
    ),
    "tolerance of zero": (in_link("0.1", "0"), "link 2: tolerance = 0: input should be greater than 0"),
    "tolerance that is nan": (in_link("0.1", "nan"), "link 2: tolerance = nan: input should be"),
    "doubled link name": (
        MINIMAL + LINK.format(name="z") + LINK.format(name="z"),
        "detector 1: the link name z is used twice: give each link its own name",
    ),
    "doubled prefix": (
        MINIMAL + '[[detector]]\nprefix = ""',
        'prefix "" of detector 2: Dist is already used by detector 1',
    ),
    "prefixes whose PVs meet": (
        MINIMAL.replace('""', '"A:"') + '[[detector]]\nprefix = "A:Stage:"',
        'prefix "A:Stage:" of detector 2: A:Stage:Dist is already used by detector 1',
    ),
    "no TOML": ("[ioc\n", "this is not valid TOML: "),
    "the same key twice": (in_ioc('prefix = "b"'), "this is not valid TOML: "),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_error_is_reported_with_file_key_value_and_what_is_allowed(written, text, message):
    path = written(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.problems) == 1, caught.value.problems
    assert caught.value.problems[0].startswith(f"{path}: ")
    assert message in caught.value.problems[0]


def test_all_errors_are_reported_at_once(written):
    with pytest.raises(ConfigError) as caught:
        load(written('[ioc]\nprot = 1\n[[detector]]\nprefix = "a b"\nsettle = -1\n'))
    text = "\n".join(caught.value.problems)
    assert [len(re.findall(key, text)) for key in ("prot", "ioc: prefix", "detector 1: prefix", "settle = ")] == [1] * 4


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(
        ConfigError, match=re.escape(f"{tmp_path}/none.toml: No such file or directory: expected a TOML")
    ):
        load(tmp_path / "none.toml")


def test_folder_instead_of_a_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory: expected a TOML file"):
        load(tmp_path)


def test_bytes_that_are_not_text_are_reported(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes('[ioc]\nengineer = "Bj\xf6rn"'.encode("latin-1"))
    with pytest.raises(ConfigError, match="this is not valid TOML"):
        load(path)


@pytest.mark.parametrize("prefix", ["XF:28ID1-ES{Det:PE1}Calib:", "", "a.b", "X[1]<2>;3_4-5+"])
def test_prefix_of_a_detector_is_taken_as_it_is(written, prefix):
    assert load(written(MINIMAL.replace('""', f'"{prefix}"'))).detector[0].prefix == prefix


def test_state_dir_wins_over_the_environment(written, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/from/systemd")
    assert load(written(WHOLE)).store == Path("/var/lib/ponikeeper/ponikeeper.sqlite")
    assert load(written(MINIMAL)).store == Path("/from/systemd/ponikeeper.sqlite")


def test_without_state_dir_and_environment_the_store_is_refused(written):
    config = load(written(MINIMAL))
    with pytest.raises(ConfigError, match="state_dir is missing and STATE_DIRECTORY is not set: write state_dir = "):
        config.store  # noqa: B018  # reading it is what refuses


def test_relative_paths_start_from_the_folder_of_the_file(written, tmp_path, monkeypatch):
    path = written(in_ioc('state_dir = "state"').replace('prefix = ""', 'prefix = ""\nseed = "pe1.poni"'))
    (tmp_path / "pe1.poni").write_text(PONI)
    monkeypatch.chdir("/")
    config = load(path)
    assert config.store == tmp_path / "state" / "ponikeeper.sqlite"
    assert config.seed_text(config.detector[0]) == PONI.encode()


def test_relative_paths_start_from_the_folder_of_a_file_with_a_relative_path(written, tmp_path, monkeypatch):
    path = written(in_ioc('state_dir = "state"'))
    monkeypatch.chdir(tmp_path)
    config = load(Path(path.name))
    monkeypatch.chdir("/")
    assert config.store == tmp_path / "state" / "ponikeeper.sqlite"


def test_configuration_is_frozen(written):
    config: Config = load(written(MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        config.ioc.prefix = "other"


def test_severity_of_a_status_can_be_changed(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(in_detector('severity = {MOVING = "NONE", UNWATCHED = "MINOR"}'))
    severities = load(path).detector[0].severities()
    assert (severities[Status.MOVING], severities[Status.UNWATCHED]) == (Severity.NONE, Severity.MINOR)
    changed = {status for status, severity in severities.items() if SEVERITIES[status] is not severity}
    assert changed == {Status.MOVING, Status.UNWATCHED}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('severity = {MOVES = "NONE"}', '"MOVES" is not a status: expected UNSET VALID MOVING'),
        ('severity = {MOVING = "none"}', 'MOVING = "none" is not a severity: expected NONE MINOR MAJOR INVALID'),
        ("severity = 3", 'expected a table of severities by status, such as MOVING = "NONE"'),
    ],
)
def test_wrong_severity_is_reported(tmp_path, line, message):
    path = tmp_path / "one.toml"
    path.write_text(in_detector(line))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(path)


def test_errors_that_a_fit_assumes_are_those_of_the_detector(written):
    config = load(written(in_detector("wavelength_sigma = 1e-4\ndistortion = 0.3\ndistortion_length = 0.5")))
    assert config.detector[0].assumed_errors() == AssumedErrors(1e-4, 0.3, 0.5)
    assert load(written(MINIMAL)).detector[0].assumed_errors() == DEFAULT_ERRORS
    with pytest.raises(ConfigError, match="detector 1: wavelength_sigma"):
        load(written(in_detector("wavelength_sigma = 0.5")))


PUSH = "[[detector.push]]\n"


def test_values_for_a_known_driver_are_those_that_move_nothing(written):
    (push,) = load(written(MINIMAL + PUSH + 'driver = "eiger"\nprefix = "D:cam1:"\n')).detector[0].push
    assert [target.pv for target in push.targets()] == ["D:cam1:BeamX", "D:cam1:BeamY", "D:cam1:DetDist"]
    assert load(written(MINIMAL)).detector[0].push_targets() == ()


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ('driver = "eiger"', "prefix missing: expected driver, prefix"),
        ('value = "energy"\npv = "D:E"\nunits = "keV"', "acquiring missing: expected value, pv, acquiring"),
        (
            'value = "energy"\npv = "D:E"\nunits = "mm"\nacquiring = "D:A"',
            'units "mm" not allowed for energy: expected keV or eV',
        ),
        (
            'driver = "eiger"\nprefix = "D:"\nvalues = ["tilt"]',
            "tilt of values is not known for eiger: expected some of beam_x, beam_y, distance, wavelength, energy",
        ),
        (
            'driver = "eiger"\nprefix = "D:"\npv = "D:E"',
            "pv and driver, prefix are given: expected a driver with its prefix, or one value with its pv",
        ),
        (
            'driver = "eiger"\nprefix = "D:"\ntolerance = 1.0',
            "tolerance and driver, prefix are given: expected a driver with its prefix, or one value with its pv",
        ),
        ('driver = "mythen"\nprefix = "D:"', "driver = 'mythen': expected one of eiger, pilatus"),
        ('driver = "eiger"\nprefix = "D:"\nvalue2 = 1', "value2 = 1: unknown key (did you mean value?)"),
        (
            'driver = "eiger"\nprefix = "D:"\n[[detector.push]]\ndriver = "eiger"\nprefix = "D:"',
            "D:BeamX, D:BeamY, D:DetDist is written by two tables of push: expected each PV once",
        ),
        (
            'value = "distance"\npv = "Dist"\nunits = "m"\nacquiring = "D:A"',
            "detector 1: push: Dist is a PV of this IOC: expected the driver's",
        ),
        (
            'driver = "eiger"\nprefix = "D:"\n[[detector]]\nprefix = "SIM{Det:9}:"\n[[detector.push]]\n'
            'driver = "eiger"\nprefix = "D:"',
            "detector 2: push: D:BeamX is already written by detector 1",
        ),
        (
            'driver = "eiger"\nprefix = "D:"\nvalues = ["energy"]\n[[detector.link]]\nname = "e"\nkind = "energy"\n'
            'pv = "D:PhotonEnergy_RBV"\nunits = "eV"\ntolerance = 0.001',
            "detector 1: push: D:PhotonEnergy is a linked PV, too: the link would compare the geometry",
        ),
    ],
)
def test_table_of_pushed_values_that_cannot_be_used(written, lines, error):
    with pytest.raises(ConfigError) as raised:
        load(written(MINIMAL + PUSH + lines))
    assert error in str(raised.value)
