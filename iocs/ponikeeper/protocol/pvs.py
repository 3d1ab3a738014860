"""The PV contract, written once: suffix, type, units, precision and description of every PV.

The IOC builds its PVs from this table; the client, the screens, the documentation and the tests derive
from it. The PVs of a detector follow the prefix of the detector, those of the IOC the prefix of the IOC.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.protocol.header import LENGTH as HEADER_LENGTH
from ponikeeper.protocol.json_text import MAX_BYTES
from ponikeeper.protocol.label_buttons import COUNT
from ponikeeper.protocol.status import Status

MAX_DESC_BYTES = 39
"""Length of ``.DESC``, which is a CA string."""


class Kind(Enum):
    """The CA type of a PV, and the EPICS record types that ``.RTYP`` reports: (readback, setpoint)."""

    DOUBLE = ("ai", "ao")
    LONG = ("longin", "longout")
    STRING = ("stringin", "stringout")
    TEXT = ("waveform", "waveform")
    ENUM = ("mbbi", "mbbo")


@dataclass(frozen=True, slots=True)
class Alarm:
    """How an alarm server treats the severity of a PV.

    Parameters
    ----------
    guidance
        What the operator should do.
    delay
        How long the alarm must last before it is reported (s).
    latching
        Whether an alarm that has ended is shown until it is acknowledged.
    """

    guidance: str
    delay: int = 0
    latching: bool = True


@dataclass(frozen=True, slots=True)
class PV:
    """One process variable.

    Parameters
    ----------
    suffix
        Name without the prefix.
    desc
        Text of ``.DESC``: ASCII, at most 39 bytes.
    units, precision
        As CA clients display them.
    states
        Names of an enum's values, index 0 first.
    limits
        Lowest and highest value that can be accepted; None without limits.
    writable
        Whether clients may put a value.
    parameter
        The value of the geometry that the PV shows or sets.
    query_only
        Whether a put is only a query: read access suffices, and nothing changes.
    archived
        Whether the PV should be archived. Long texts are not: the history has them.
    alarm
        How an alarm server treats it; None without alarms, or where it repeats the alarm of another PV.
    set_by
        Suffix of the PV that sets what this one shows, where it is not the name without ``_RBV``; see `setter_of`.
    length
        Number of elements of a text that is shorter than others; None for the usual number.
    """

    suffix: str
    kind: Kind
    desc: str
    units: str = ""
    precision: int = 0
    states: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    writable: bool = False
    parameter: str | None = None
    query_only: bool = False
    archived: bool = False
    alarm: Alarm | None = None
    set_by: str | None = None
    length: int | None = None

    @property
    def record_type(self) -> str:
        """The EPICS record type that ``.RTYP`` reports."""
        return self.kind.value[int(self.writable)]

    @property
    def max_length(self) -> int:
        """Number of elements that a client may read or put."""
        return self.length or (MAX_BYTES if self.kind is Kind.TEXT else 1)


@functools.cache
def pv_name(parameter: str) -> str:
    """Return the PV name of one value of the geometry: ``DetectorConfig`` for ``detector_config``."""
    return "".join(word.capitalize() for word in parameter.split("_"))


def setpoint(parameter: str) -> str:
    """Return the suffix of the PV that sets one value of the geometry."""
    return pv_name(parameter)


def readback(parameter: str) -> str:
    """Return the suffix of the PV that shows one value of the geometry."""
    return f"{pv_name(parameter)}_RBV"


def staged(parameter: str) -> str:
    """Return the suffix of the PV that edits one value of the geometry before ``Stage:Apply``."""
    return f"Stage:{pv_name(parameter)}"


def label_button(number: int) -> str:
    """Return the suffix of the PV that shows the label of a button, numbered from 1."""
    return f"Labels:{number}_RBV"


def _geometry_pvs() -> tuple[PV, ...]:
    """Return setpoint and readback of all values of the geometry, and the staged edit of the ten without the config."""
    pvs: list[PV] = []
    for name, parameter in PARAMETERS.items():
        readback_pv = PV(
            readback(name), Kind.DOUBLE, parameter.doc, parameter.unit, parameter.precision, parameter=name
        )
        put = replace(readback_pv, suffix=setpoint(name), limits=(parameter.lower, parameter.upper), writable=True)
        pvs += [put, replace(readback_pv, archived=True), replace(put, suffix=staged(name))]
    text = "pyFAI name of the detector"
    pvs += [
        PV(setpoint("detector"), Kind.STRING, text, writable=True, parameter="detector"),
        PV(readback("detector"), Kind.STRING, text, parameter="detector", archived=True),
        PV(staged("detector"), Kind.STRING, text, writable=True, parameter="detector"),
    ]
    text = "pyFAI detector configuration (JSON)"
    pvs += [
        PV(setpoint("detector_config"), Kind.TEXT, text, writable=True, parameter="detector_config"),
        PV(readback("detector_config"), Kind.TEXT, text, parameter="detector_config"),
    ]
    return tuple(pvs)


def _derived(suffix: str, name: str, desc: str, set_by: str | None = None) -> PV:
    """Return the PV of a value that is derived from the geometry, in the unit in which people read it."""
    unit = DISPLAY_UNITS[name]
    return PV(suffix, Kind.DOUBLE, desc, unit.unit, unit.decimals, set_by=set_by)


def sigma(parameter: str) -> str:
    """Return the suffix of the PV that shows the standard deviation of one value of the geometry."""
    return f"{pv_name(parameter)}Sigma_RBV"


WITH_SIGMA = ("dist", "poni1", "poni2", "rot1", "rot2")
"""The values that a fit determines, each with its standard deviation."""


def _sigma_pvs() -> tuple[PV, ...]:
    """Return the standard deviations of the values that a fit determines."""
    return tuple(
        PV(
            sigma(name),
            Kind.DOUBLE,
            f"Standard deviation of {name}",
            PARAMETERS[name].unit,
            PARAMETERS[name].precision,
            archived=True,
        )
        for name in WITH_SIGMA
    )


_DO = ("Idle", "Do")
_SWITCH = ("Off", "On")
_HEALTH = ("OK", "FAILED")

_NOT_VALID = Alarm(
    "The active geometry does not apply to images taken now; Reason_RBV gives the reason, Advice_RBV what to do.",
    delay=60,
    latching=False,
)
_STORE = Alarm(
    "Storage:Message_RBV gives the reason. Nothing is lost, but every put is refused. Free space where state_dir is."
)
_ACCESS = Alarm(
    "Access:Message_RBV gives the reason. The previous rules stay active. Correct the file, then reload the service."
)
_PUTLOG = Alarm("PutLog:Message_RBV gives the reason. Log lines are kept in memory. Free space where the log is.")
_CLOCK = Alarm(
    "The clock of the host cannot be right, or was wrong when the newest record was made: Clock:Message_RBV names "
    "it. Records keep their order. Check the time service of the host (timedatectl)."
)

_PUSH = Alarm(
    "The detector's own PVs do not have the active geometry: Push:Message_RBV says which, and why.",
    delay=30,
    latching=False,
)

ALIVE = PV("Alive_RBV", Kind.DOUBLE, "Present time of a live IOC, each second", "s", 3)
"""POSIX time (s). Its advance proves that the IOC is alive: for one that hangs a gateway answers from its cache."""

HEADER = PV("Header_RBV", Kind.TEXT, "What is active, for a frame's attribute", set_by="Request", length=HEADER_LENGTH)
"""The header (`ponikeeper.protocol.header`) in 256 bytes with a NUL at the end: areaDetector reads it as a string."""

DETECTOR_PVS: tuple[PV, ...] = (
    *_geometry_pvs(),
    PV("Stage:Apply", Kind.ENUM, "Commit the staged values", states=_DO, writable=True),
    PV("Stage:Clear", Kind.ENUM, "Discard the staged values", states=_DO, writable=True),
    PV("Stage:Dirty_RBV", Kind.ENUM, "Staged values not yet committed", states=("Clean", "Dirty")),
    PV("Request", Kind.TEXT, "Request (JSON)", writable=True),
    PV("Results_RBV", Kind.TEXT, "Latest results, newest first (JSON)", set_by="Request"),
    PV("Snapshot_RBV", Kind.TEXT, "Everything that is active (JSON)", set_by="Request"),
    HEADER,
    PV("Poni", Kind.TEXT, "Commit a PONI text", writable=True),
    PV("Poni_RBV", Kind.TEXT, "Active geometry as PONI text"),
    PV("RecordPosition", Kind.ENUM, "Record the position of the links", states=_DO, writable=True),
    PV("Activate", Kind.STRING, "Activate a revision or label", writable=True),
    PV("Undo", Kind.ENUM, "Undo the last activation", states=_DO, writable=True),
    PV("Label", Kind.STRING, "Label the active revision", writable=True),
    PV("Revision_RBV", Kind.LONG, "Active revision (0: none)", archived=True, set_by="Activate"),
    PV("Serial_RBV", Kind.LONG, "Serial number of the activation", archived=True, set_by="Activate"),
    PV("Time_RBV", Kind.STRING, "Active since (UTC)"),
    PV("Since_RBV", Kind.STRING, "Active since (local time, age)"),
    PV("Label_RBV", Kind.STRING, "Label of the active revision", archived=True),
    PV(
        "Status_RBV",
        Kind.ENUM,
        "Calibration status",
        states=tuple(Status.__members__),
        archived=True,
        alarm=_NOT_VALID,
    ),
    PV("Reason_RBV", Kind.TEXT, "Reason for the status"),
    PV("Advice_RBV", Kind.TEXT, "What to do now"),
    PV("Labels:Activate", Kind.LONG, "Activate the label of a button", writable=True),
    *(
        PV(label_button(number), Kind.STRING, f"Label of button {number}", set_by="Labels:Activate")
        for number in range(1, COUNT + 1)
    ),
    PV("Labels:Table_RBV", Kind.TEXT, "What the labels activate (table)", set_by="Labels:Activate"),
    PV("Follow", Kind.ENUM, "Follow the links", states=_SWITCH, writable=True),
    PV("Follow_RBV", Kind.ENUM, "Whether the links are followed", states=_SWITCH, archived=True),
    PV("OutOfService", Kind.TEXT, "Link out of service, such as z: reason", writable=True),
    PV("OutOfService_RBV", Kind.TEXT, "Links out of service, and why"),
    PV("InService", Kind.STRING, "Link to return to service", writable=True),
    PV("Links_RBV", Kind.TEXT, "Linked PVs (JSON)"),
    PV("Links:Table_RBV", Kind.TEXT, "Linked PVs (table)"),
    PV(
        "Push:Status_RBV",
        Kind.ENUM,
        "Geometry in the detector's own PVs",
        states=("Off", "OK", "Waiting", "Failed"),
        archived=True,
        alarm=_PUSH,
    ),
    PV("Push:Message_RBV", Kind.TEXT, "What was written to the detector"),
    ALIVE,
    PV("Accepted_RBV", Kind.LONG, "Requests accepted since start"),
    PV("Rejected_RBV", Kind.LONG, "Requests rejected since start"),
    PV("Message_RBV", Kind.TEXT, "Last message"),
    _derived("Energy_RBV", "energy", "Photon energy", set_by="Wavelength"),
    _derived("WavelengthA_RBV", "wavelength", "Wavelength", set_by="Wavelength"),
    _derived("BeamX_RBV", "beam_x", "Beam centre along x (Fit2D)"),
    _derived("BeamY_RBV", "beam_y", "Beam centre along y (Fit2D)"),
    _derived("DirectDist_RBV", "direct_dist", "Distance along the beam (Fit2D)"),
    _derived("Tilt_RBV", "tilt", "Tilt of the detector (Fit2D)"),
    _derived("TiltPlane_RBV", "tilt_plane", "Rotation of the tilt plane (Fit2D)"),
    PV("Method_RBV", Kind.STRING, "Calibration method"),
    PV("Calibrant_RBV", Kind.STRING, "Calibrant"),
    PV("Residual_RBV", Kind.DOUBLE, "Residual of the fit", "px", 4),
    *_sigma_pvs(),
    PV("Model_RBV", Kind.TEXT, "Active model (JSON)"),
    PV("ModelRange_RBV", Kind.TEXT, "Where the active model holds"),
    PV("Accuracy_RBV", Kind.DOUBLE, "Worst sigma of 2 theta on the panel", "deg", 6, archived=True),
    PV("NPoints_RBV", Kind.LONG, "Number of control points"),
    PV("NRings_RBV", Kind.LONG, "Number of rings"),
    PV("Author_RBV", Kind.STRING, "Author (unverified)"),
    PV("RunUid_RBV", Kind.STRING, "Calibration run (uid)"),
    PV("Comment_RBV", Kind.TEXT, "Comment"),
    PV("History:Count_RBV", Kind.LONG, "Number of revisions"),
    PV("History:Select", Kind.LONG, "Revision to show (0: the active one)", writable=True),
    PV("History:Selected_RBV", Kind.TEXT, "Selected revision (JSON)", set_by="History:Select"),
    PV("History:List_RBV", Kind.TEXT, "Revisions near the selected one (JSON)", set_by="History:Select"),
    PV("History:Activate", Kind.ENUM, "Activate the selected revision", states=_DO, writable=True),
    PV("History:Table_RBV", Kind.TEXT, "Revisions near the selected one (table)", set_by="History:Select"),
    PV("History:Compare_RBV", Kind.TEXT, "Selected and active revision compared"),
    PV("History:Read", Kind.STRING, "History query, such as: revision 12", writable=True, query_only=True),
    PV("History:Read_RBV", Kind.TEXT, "Records of the history query (JSON)"),
)
"""The PVs of one detector."""

IOC_PVS: tuple[PV, ...] = (
    PV("Storage:Status_RBV", Kind.ENUM, "History store status", states=_HEALTH, archived=True, alarm=_STORE),
    PV("Storage:Message_RBV", Kind.TEXT, "History store message"),
    PV("Storage:Latency_RBV", Kind.DOUBLE, "Duration of the last write", "s", 4, archived=True),
    PV("Storage:Free_RBV", Kind.DOUBLE, "Free disk space for the history store", "byte", 0, archived=True),
    PV("Denied_RBV", Kind.LONG, "Puts denied by the access rules", archived=True),
    PV("ClientsRefused_RBV", Kind.LONG, "CA clients refused: too many", archived=True),
    PV("Access:Status_RBV", Kind.ENUM, "Access rules status", states=_HEALTH, alarm=_ACCESS),
    PV("Access:Message_RBV", Kind.TEXT, "Access rules message"),
    PV("PutLog:Status_RBV", Kind.ENUM, "Put log status", states=_HEALTH, alarm=_PUTLOG),
    PV("PutLog:Message_RBV", Kind.TEXT, "Put log message"),
    PV("Clock:Status_RBV", Kind.ENUM, "Clock of the host", states=_HEALTH, archived=True, alarm=_CLOCK),
    PV("Clock:Message_RBV", Kind.TEXT, "Clock message"),
    PV("Version_RBV", Kind.STRING, "ponikeeper version", archived=True),
    PV("HEARTBEAT", Kind.DOUBLE, "Heartbeat, counts up every second"),
    PV("UPTIME", Kind.STRING, "Uptime"),
    PV("STARTTOD", Kind.STRING, "Start time (local)"),
    PV("START_CNT", Kind.DOUBLE, "Number of starts", archived=True),
    PV("TOD", Kind.STRING, "Time of day (local)"),
    PV("CA_CLNT_CNT", Kind.DOUBLE, "CA clients", archived=True),
    PV("CA_CONN_CNT", Kind.DOUBLE, "CA channels of all clients", archived=True),
    PV("Clients_RBV", Kind.TEXT, "CA clients, as JSON"),
    PV("MEM_USED", Kind.DOUBLE, "Memory in use", "byte", archived=True),
    PV("FD_CNT", Kind.DOUBLE, "Open file descriptors", archived=True),
    PV("FD_FREE", Kind.DOUBLE, "Free file descriptors", archived=True),
    PV("HOSTNAME", Kind.STRING, "Host name"),
    PV("PROCESS_ID", Kind.DOUBLE, "Process ID"),
    PV("ENGINEER", Kind.STRING, "Engineer responsible for this IOC"),
    PV("LOCATION", Kind.STRING, "Location of this IOC"),
    PV("APP_DIR", Kind.TEXT, "Working directory"),
    PV("EPICS_VERSION", Kind.STRING, "CA server version (caproto)"),
)
"""The IOC's own PVs; those in capitals have the names that iocStats uses on every IOC."""


def setter_of(pv: PV) -> str | None:
    """Return the suffix of the PV that sets what a readback shows.

    Parameters
    ----------
    pv
        A PV of a detector or of the IOC.

    Returns
    -------
    str or None
        None where no single PV sets it, or where clients may put the PV itself.
    """
    name = pv.suffix.removesuffix("_RBV")
    return pv.set_by or (name if name != pv.suffix and name in _WRITABLE else None)


_WRITABLE = frozenset(pv.suffix for pv in DETECTOR_PVS if pv.writable)


def pvs_by_prefix(ioc_prefix: str, detector_prefixes: Iterable[str]) -> list[tuple[str, tuple[PV, ...]]]:
    """Return all PVs that an IOC serves.

    Parameters
    ----------
    ioc_prefix
        Prefix of the IOC's own PVs.
    detector_prefixes
        Prefix of each detector.

    Returns
    -------
    list of tuple
        Each prefix with the PVs behind it; the IOC first, then the detectors in their order.
    """
    return [(ioc_prefix, IOC_PVS), *((prefix, DETECTOR_PVS) for prefix in detector_prefixes)]


def is_prefix_right(pv: str) -> str:
    """Return the question whether the prefix of a PV that does not answer is right.

    Parameters
    ----------
    pv
        Its name.

    Returns
    -------
    str
        With what may be wrong where the prefix ends without a separator, as that of a PV of its own does.
    """
    names = {each.suffix for each in DETECTOR_PVS} | {each.suffix for each in IOC_PVS}
    prefix = next((pv.removesuffix(name) for name in sorted(names, key=len, reverse=True) if pv.endswith(name)), "")
    if not prefix or not prefix[-1].isalnum():
        return "is the prefix right"
    return f"is the prefix right (is {prefix}: meant, with a colon)"
