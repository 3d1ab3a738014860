"""The configuration of one IOC: a TOML file, checked before anything is served.

An error names the file, the key, the value and what is allowed.
"""

import os
import reprlib
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ponikeeper.errors import ConfigError
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol.assumed_errors import DEFAULTS, LIMITS, AssumedErrors
from ponikeeper.protocol.link_kinds import LINK_KINDS
from ponikeeper.protocol.pushed_values import BY_DEFAULT, DRIVERS, VALUES, Target, driver_targets
from ponikeeper.protocol.pvs import PV, pvs_by_prefix
from ponikeeper.protocol.status import SEVERITIES, Severity, Status
from ponikeeper.text.suggestions import suggestion

STORE_NAME = "ponikeeper.sqlite"
_MAX_PORT = 65535
_MAX_PV_BYTES = 60
"""Longest PV name that EPICS records and many clients allow (bytes)."""

MISMATCH = 0.02
"""Largest relative difference of a linked energy or wavelength from the wavelength of the geometry."""

MAX_LINKS = 16
"""Most links of one detector, so that ``Links_RBV`` fits its PV."""


def _check_address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise ValueError(f'"{text}" is not an IPv4 address: expected one such as 10.28.1.5') from None


def _check_hosts(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError as error:
        raise ValueError(f'"{text}" ({error}): expected an address or a network such as 10.28.0.0/16') from None


def _check_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!a} has control characters: expected a text in one line")
    return text


# the description of a key is what an error message expects there; without one pydantic's message is used
Text = Annotated[str, Field(max_length=200), AfterValidator(_check_text)]
Address = Annotated[str, AfterValidator(_check_address)]
Hosts = Annotated[str, AfterValidator(_check_hosts)]
User = Annotated[str, Field(min_length=1, max_length=60, description="a user name, as clients claim it")]
GroupName = Annotated[str, Field(min_length=1, description="the name of an ASG in the file")]
Prefix = Annotated[
    str,
    Field(
        max_length=_MAX_PV_BYTES,
        pattern=r"^[A-Za-z0-9_\-+:;\[\]<>{}.]*$",
        description='the prefix of its PVs, such as "XF:28ID1-ES{Det:PE1}Calib:": '
        f"letters, digits and _-+:;.[]<>{{}}, at most {_MAX_PV_BYTES} bytes",
    ),
]
PvName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_MAX_PV_BYTES,
        pattern=r"^[!-~]*$",
        description=f"a PV name: ASCII without blanks, at most {_MAX_PV_BYTES} bytes",
    ),
]
LinkName = Annotated[
    str,
    Field(
        max_length=32,
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$",
        description="a letter, then letters, digits and _, at most 32",
    ),
]


LinkKindName = Annotated[
    str, Field(pattern=f"^({'|'.join(LINK_KINDS)})$", description=f"one of {', '.join(LINK_KINDS)}")
]


def _limited(error: str) -> Any:
    low, high = LIMITS[error]
    return Field(ge=low, le=high, allow_inf_nan=False)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Link(_Table):
    """A PV on which the geometry depends.

    `tolerance` is in `units`, or relative, as the kind says. A PV that reports other units is converted to `units`
    where that is possible, and so are positions that were recorded in other units; `egu` is what it reports instead
    of `units`, if that is a word of the site. `scale_sigma` is used where a model is fitted: with it the travel of the
    motor says how far the wavelength can be off.
    """

    name: LinkName
    pv: PvName
    kind: LinkKindName
    units: Annotated[str, Field(max_length=16)] = ""
    egu: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    tolerance: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    moving: PvName | None = None
    scale_sigma: Annotated[float, Field(ge=0, le=0.1, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        kind = LINK_KINDS[self.kind]
        if self.scale_sigma is not None and (kind.beam is not None or not kind.has_tolerance):
            raise ValueError(f"scale_sigma does not belong to a link of kind {self.kind}: it is that of a motor")
        if not kind.has_tolerance:
            if self.tolerance is not None:
                raise ValueError(f"tolerance does not belong to a link of kind {self.kind}: any change counts")
            if self.egu is not None:
                raise ValueError(f"egu does not belong to a link of kind {self.kind}: its units are not checked")
            return self
        missing = [key for key in ("units", "tolerance") if not getattr(self, key)]
        if missing:
            raise ValueError(f"{' and '.join(missing)} missing: a link of kind {self.kind} needs units and tolerance")
        if kind.beam is not None and self.units not in kind.beam.units:
            allowed = " or ".join(kind.beam.units)
            raise ValueError(f'units "{self.units}" not allowed for kind {self.kind}: expected {allowed}')
        return self


class Push(_Table):
    """PVs of the detector's own driver to which the IOC writes values of the active geometry; none unless configured.

    Either those of a known `driver`, or one PV: `value`, `pv`, `units` and `acquiring`.
    """

    driver: Annotated[
        str | None, Field(pattern=f"^({'|'.join(DRIVERS)})$", description=f"one of {', '.join(DRIVERS)}")
    ] = None
    prefix: PvName | None = None
    values: Annotated[
        tuple[str, ...], Field(min_length=1, strict=False, description=f"a list of {', '.join(VALUES)}")
    ] = BY_DEFAULT
    value: Annotated[
        str | None, Field(pattern=f"^({'|'.join(VALUES)})$", description=f"one of {', '.join(VALUES)}")
    ] = None
    pv: PvName | None = None
    readback: PvName | None = None
    units: Annotated[str, Field(max_length=16)] = ""
    acquiring: PvName | None = None
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        given = self.model_fields_set
        of_driver, of_pv = (
            {"driver", "prefix", "values"},
            {"value", "pv", "readback", "units", "acquiring", "tolerance"},
        )
        if given & of_driver and given & of_pv:
            raise ValueError(
                f"{', '.join(sorted(given & of_pv))} and {', '.join(sorted(given & of_driver))} are given: expected a "
                "driver with its prefix, or one value with its pv"
            )
        needed = ("value", "pv", "acquiring") if given & of_pv else ("driver", "prefix")
        missing = [key for key in needed if key not in given]
        if missing:
            raise ValueError(f"{' and '.join(missing)} missing: expected {', '.join(needed)}")
        if self.value is not None and self.units not in (units := VALUES[self.value].units):
            raise ValueError(
                f'units "{self.units}" not allowed for {self.value}: expected {" or ".join(units) or "none"}'
            )
        if self.driver is not None and (
            unknown := [each for each in self.values if each not in DRIVERS[self.driver].pvs]
        ):
            raise ValueError(
                f"{', '.join(unknown)} of values is not known for {self.driver}: expected some of "
                f"{', '.join(DRIVERS[self.driver].pvs)}"
            )
        return self

    def targets(self) -> tuple[Target, ...]:
        """Return the PVs that are written."""
        if self.driver is not None and self.prefix is not None:
            return driver_targets(self.driver, self.prefix, self.values)
        assert self.value is not None
        assert self.pv is not None
        assert self.acquiring is not None
        readback = self.readback or self.pv
        return (Target(self.value, self.pv, readback, self.units, self.acquiring, self.tolerance),)


class Detector(_Table):
    """One detector whose geometry the IOC keeps."""

    prefix: Prefix
    title: Text = ""
    follow: bool = True
    settle: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 1.0
    mismatch: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = MISMATCH
    wavelength_sigma: Annotated[float, _limited("wavelength")] = DEFAULTS["wavelength"]
    distortion: Annotated[float, _limited("distortion")] = DEFAULTS["distortion"]
    distortion_length: Annotated[float, _limited("distortion_length")] = DEFAULTS["distortion_length"]
    position: Annotated[Literal["keep", "now"], Field(description='"keep" or "now"')] = "keep"
    prefer: Annotated[Literal["model", "calibrated"], Field(description='"model" or "calibrated"')] = "model"
    extrapolate: bool = False
    seed: Annotated[str, Field(min_length=1)] | None = None
    limits: dict[str, tuple[float, float]] = {}
    severity: Annotated[
        dict[str, str], Field(description='a table of severities by status, such as MOVING = "NONE"')
    ] = {}
    link: Annotated[
        tuple[Link, ...],
        Field(
            strict=False,
            max_length=MAX_LINKS,
            description=f"tables, each headed [[detector.link]], at most {MAX_LINKS}",
        ),
    ] = ()
    push: Annotated[tuple[Push, ...], Field(strict=False, description="tables, each headed [[detector.push]]")] = ()

    @field_validator("limits", mode="before")
    @classmethod
    def _check_limits(cls, limits: object) -> object:
        if not isinstance(limits, dict):
            raise ValueError(f"{limits!r} is not a table: expected such as dist = [0.1, 3.0]")
        table = cast("dict[str, Any]", limits)
        for name, pair in table.items():
            parameter = PARAMETERS.get(name)
            if parameter is None:
                raise ValueError(f'"{name}" has no limits: expected {" ".join(PARAMETERS)}')
            if not isinstance(pair, list) or len(bounds := cast("list[Any]", pair)) != 2:
                raise ValueError(f"{name} = {pair!r}: expected [lowest, highest] in {parameter.unit}")
            for bound in bounds:
                if type(bound) not in (int, float) or not parameter.lower <= bound <= parameter.upper:
                    raise ValueError(f"{name} = {pair!r}: expected two numbers with {parameter.expected()}")
            if pair[0] >= pair[1]:
                raise ValueError(f"{name} = {pair!r}: expected the lower value first")
        return {name: (float(low), float(high)) for name, (low, high) in table.items()}

    @field_validator("severity", mode="after")
    @classmethod
    def _check_severity(cls, severity: dict[str, str]) -> dict[str, str]:
        for status, name in severity.items():
            if status not in Status.__members__:
                raise ValueError(f'"{status}" is not a status: expected {" ".join(Status.__members__)}')
            if name not in Severity.__members__:
                raise ValueError(f'{status} = "{name}" is not a severity: expected {" ".join(Severity.__members__)}')
        return severity

    def severities(self) -> dict[Status, Severity]:
        """Return the alarm severity of each status at this detector."""
        return {**SEVERITIES, **{Status[status]: Severity[name] for status, name in self.severity.items()}}

    def push_targets(self) -> tuple[Target, ...]:
        """Return the PVs of the detector's driver that are written."""
        return tuple(target for push in self.push for target in push.targets())

    def assumed_errors(self) -> AssumedErrors:
        """Return the errors that a fit of this detector assumes."""
        return AssumedErrors(self.wavelength_sigma, self.distortion, self.distortion_length)

    @model_validator(mode="after")
    def _check_push(self) -> Self:
        pvs = [target.pv for target in self.push_targets()]
        if doubled := sorted({pv for pv in pvs if pvs.count(pv) > 1}):
            raise ValueError(f"{', '.join(doubled)} is written by two tables of push: expected each PV once")
        return self

    @model_validator(mode="after")
    def _check_links(self) -> Self:
        names = [link.name for link in self.link]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"the link name {', '.join(doubled)} is used twice: give each link its own name")
        return self


class Ioc(_Table):
    """The IOC: its own PVs, store and sockets."""

    prefix: Prefix
    state_dir: Annotated[str, Field(min_length=1)] | None = None
    interfaces: Annotated[tuple[Address, ...], Field(min_length=1, strict=False)] | None = None
    port: Annotated[int, Field(ge=1, le=_MAX_PORT)] | None = None
    engineer: Text = ""
    location: Text = ""
    putlog: Annotated[str, Field(min_length=1, description='"journal", or the path of a file')] | None = None
    recsync_port: Annotated[int, Field(ge=1, le=_MAX_PORT)] | None = None
    max_clients: Annotated[int, Field(ge=1)] | None = None
    max_clients_per_host: Annotated[int, Field(ge=1)] | None = None


class Access(_Table):
    """Access rules; without this table every client may write."""

    write: Annotated[tuple[Hosts, ...], Field(strict=False)] | None = None
    users: Annotated[tuple[User, ...], Field(strict=False)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    asg: GroupName = "DEFAULT"

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        short = [key for key in ("write", "users") if getattr(self, key) is not None]
        if self.file is None and not short:
            raise ValueError('the table has no rules: expected write = ["10.28.0.0/16"], users or file')
        if self.file is not None and short:
            raise ValueError(f"{' and '.join(short)} and file are both given: expected the short form or a file")
        if self.file is None and self.asg != "DEFAULT":
            raise ValueError(f'asg = "{self.asg}" names a group of a file: expected file = "...acf", too')
        return self


class Pva(_Table):
    """PVAccess: the same PVs under the same names, and the structure ``Geometry`` of each detector.

    It needs p4p: ``pip install 'ponikeeper[pva]'``. What the table does not say is left to the variables EPICS_PVAS_*.
    """

    enabled: bool = False
    interfaces: Annotated[tuple[Address, ...], Field(min_length=1, strict=False)] | None = None
    port: Annotated[int, Field(ge=1, le=_MAX_PORT)] | None = None
    search_port: Annotated[int, Field(ge=1, le=_MAX_PORT)] | None = None


class Config(_Table):
    """The whole configuration. `source` is its path; relative paths in it start from there."""

    ioc: Annotated[Ioc, Field(description="a table, headed [ioc]")]
    detector: Annotated[
        tuple[Detector, ...],
        Field(min_length=1, strict=False, description="one table or more, each headed [[detector]]"),
    ]
    access: Annotated[Access, Field(description="a table, headed [access]")] | None = None
    pva: Annotated[Pva, Field(description="a table, headed [pva]")] = Pva()
    source: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        seen: dict[str, str] = {}
        for number, (prefix, pvs) in enumerate(self.pvs_by_prefix()):
            owner = f"detector {number}" if number else "ioc"
            for pv in pvs:
                name = prefix + pv.suffix
                if len(name) > _MAX_PV_BYTES:
                    raise ValueError(
                        f'prefix "{prefix}" of {owner}: {name} has {len(name)} bytes, at most {_MAX_PV_BYTES}'
                    )
                if name in seen:
                    raise ValueError(f'prefix "{prefix}" of {owner}: {name} is already used by {seen[name]}')
                seen[name] = owner
        return self

    @model_validator(mode="after")
    def _check_pushed(self) -> Self:
        served = {name for name, _ in self.served_pvs()}
        seen: dict[str, int] = {}
        for number, detector in enumerate(self.detector, 1):
            linked = {link.pv for link in detector.link}
            for target in detector.push_targets():
                for pv in target.pvs:
                    if pv in served:
                        raise ValueError(f"detector {number}: push: {pv} is a PV of this IOC: expected the driver's")
                if target.pv in seen:
                    raise ValueError(
                        f"detector {number}: push: {target.pv} is already written by detector {seen[target.pv]}"
                    )
                if linked & {target.pv, target.readback}:
                    raise ValueError(
                        f"detector {number}: push: {target.pv} is a linked PV, too: the link would compare the "
                        "geometry with what was written from it; expected a link to what sets the beam"
                    )
            seen |= {target.pv: number for target in detector.push_targets()}
        return self

    def pvs_by_prefix(self) -> list[tuple[str, tuple[PV, ...]]]:
        """Return all PVs that this IOC serves: its prefix with its own PVs, then the same for each detector."""
        return pvs_by_prefix(self.ioc.prefix, [detector.prefix for detector in self.detector])

    def served_pvs(self) -> list[tuple[str, PV]]:
        """Return all PVs that this IOC serves, each with its whole name."""
        return [(prefix + pv.suffix, pv) for prefix, pvs in self.pvs_by_prefix() for pv in pvs]

    @property
    def store(self) -> Path:
        """Path of the SQLite file.

        Raises
        ------
        ConfigError
            Neither the file nor ``$STATE_DIRECTORY`` names a directory.
        """
        named = self.ioc.state_dir or os.environ.get("STATE_DIRECTORY")
        if not named:
            raise ConfigError(
                f"{self.source}: ioc.state_dir is missing and STATE_DIRECTORY is not set: "
                'write state_dir = "/var/lib/ponikeeper"'
            )
        return self.source.parent / named / STORE_NAME

    def seed_text(self, detector: Detector) -> bytes | None:
        """Read the PONI that is committed at the first start of a detector.

        Raises
        ------
        ConfigError
            The file cannot be read.
        """
        if detector.seed is None:
            return None
        path = self.source.parent / detector.seed
        try:
            return path.read_bytes()
        except OSError as error:
            number = self.detector.index(detector) + 1
            raise ConfigError(
                f'{self.source}: detector {number}: seed = "{detector.seed}": {path}: {error.strerror}; '
                "expected a PONI file, its path relative to the configuration"
            ) from error


def load(path: Path) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path
        The TOML file.

    Returns
    -------
    Config
        The checked configuration.

    Raises
    ------
    ConfigError
        With every problem: file, key, value and what is allowed.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: expected a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not valid TOML: {error}") from error
    if "source" in table:
        raise ConfigError(f"{path}: source: unknown key: expected {_names('ioc', 'detector', 'access', 'pva')}")
    try:
        return Config.model_validate({**table, "source": path.absolute()})
    except ValidationError as error:
        items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
        # a table with errors inside is not reported itself
        inner = {tuple(item["loc"][:depth]) for item in items for depth in range(1, len(item["loc"]))}
        raise ConfigError(f"{path}: {_error_text(item)}" for item in items if tuple(item["loc"]) not in inner) from None


def _error_text(item: Mapping[str, Any]) -> str:
    """Format an error of pydantic as key, value and what is allowed."""
    place = list(item["loc"])
    where = _where(place)
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        meant = suggestion(str(place[-1]), known)
        return f"{where} = {reprlib.repr(item['input'])}: unknown key{meant}: expected {_names(*known)}"
    expected = _expectation(place)
    if kind == "missing":
        return f"{where}: missing: expected {expected or place[-1] + ' = ...'}"
    if kind == "value_error":
        return f"{where}: {context['error']}" if where else str(context["error"])
    allowed = f"expected {expected}" if expected else item["msg"][0].lower() + item["msg"][1:]
    return f"{where} = {reprlib.repr(item['input'])}: {allowed}"


def _where(place: list[Any]) -> str:
    """Format a location as the file has it: ``detector 2: link 1: tolerance``."""
    parts: list[str] = []
    for part in place:
        if isinstance(part, int) and parts:
            parts[-1] += f" {part + 1}"
        else:
            parts.append(str(part))
    return ": ".join(parts)


def _model(place: list[Any]) -> type[BaseModel]:
    models = {
        (): Config, ("access",): Access, ("ioc",): Ioc, ("detector",): Detector, ("detector", "link"): Link,
        ("pva",): Pva, ("detector", "push"): Push,
    }  # fmt: skip
    return models.get(tuple(part for part in place if not isinstance(part, int)), Config)


def _known_keys(place: list[Any]) -> list[str]:
    return [key for key in _model(place).model_fields if key != "source"]


def _expectation(place: list[Any]) -> str | None:
    """Return the description of a key, if it has one."""
    keys = [part for part in place if not isinstance(part, int)]
    field = _model(keys[:-1]).model_fields.get(keys[-1]) if keys else None
    return field.description if field else None


def _names(*names: str) -> str:
    return " ".join(names)
