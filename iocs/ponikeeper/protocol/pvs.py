"""The PV contract, written once: suffix, type, unit, precision and text of every PV.

The IOC builds its PVs from this table; the client, the screens, the documents and the tests derive
from it. A detector's PVs stand behind the detector's prefix, the IOC's own behind the IOC's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.protocol.json_text import MAX_BYTES

MAX_DESC_BYTES = 39
"""What ``.DESC`` holds as a CA string."""


class Kind(Enum):
    """The CA type of a PV, and the EPICS record types it answers to: (readback, setpoint)."""

    DOUBLE = ("ai", "ao")
    LONG = ("longin", "longout")
    STRING = ("stringin", "stringout")
    TEXT = ("waveform", "waveform")
    ENUM = ("mbbi", "mbbo")


class Status(IntEnum):
    """What is to be thought of the geometry in force; an index is never used for anything else."""

    UNSET = 0
    VALID = 1
    MOVING = 2
    MOVED = 3
    MISMATCH = 4
    UNKNOWN = 5
    CONDEMNED = 6


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an alarm system does with the severity of a PV.

    Parameters
    ----------
    guidance
        What an operator is to do.
    delay
        For how long it has to last (s).
    latching
        Whether one that is over is shown until somebody acknowledges it.
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
        What follows the prefix.
    desc
        Text of ``.DESC``: ASCII, at most 39 bytes.
    units, precision
        As CA clients show them.
    states
        Names of an enum's values, index 0 first.
    limits
        Lowest and highest value that can be accepted, where there are such.
    writable
        Whether a client may put it.
    parameter
        The value of the geometry that it shows or sets.
    asks
        Whether a put changes nothing, and whoever may read may put.
    archived
        Whether an archiver keeps it. Texts are not: what was in force is in the history.
    alarm
        What its alarms mean; None where it has none, or shows that of another PV.
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
    asks: bool = False
    archived: bool = False
    alarm: Alarm | None = None

    @property
    def record_type(self) -> str:
        """What ``.RTYP`` answers."""
        return self.kind.value[int(self.writable)]

    @property
    def max_length(self) -> int:
        """Number of elements that a client may read or put."""
        return MAX_BYTES if self.kind is Kind.TEXT else 1


def pv_name(parameter: str) -> str:
    """Name the PV of one value of the geometry: ``detector_config`` becomes ``DetectorConfig``."""
    return "".join(word.capitalize() for word in parameter.split("_"))


def setpoint(parameter: str) -> str:
    """Suffix of the PV that sets one value of the geometry."""
    return pv_name(parameter)


def readback(parameter: str) -> str:
    """Suffix of the PV that shows one value of the geometry."""
    return f"{pv_name(parameter)}_RBV"


def staged(parameter: str) -> str:
    """Suffix of the PV that edits one value of the geometry before ``Stage:Apply``."""
    return f"Stage:{pv_name(parameter)}"


def _geometry_pvs() -> tuple[PV, ...]:
    """List the ten values and the configuration: setpoint, readback and, for the ten, the staged edit."""
    found: list[PV] = []
    for name, parameter in PARAMETERS.items():
        shown = PV(readback(name), Kind.DOUBLE, parameter.doc, parameter.unit, parameter.precision, parameter=name)
        put = replace(shown, suffix=setpoint(name), limits=(parameter.lower, parameter.upper), writable=True)
        found += [put, replace(shown, archived=True), replace(put, suffix=staged(name))]
    text = "pyFAI name of the detector"
    found += [
        PV(setpoint("detector"), Kind.STRING, text, writable=True, parameter="detector"),
        PV(readback("detector"), Kind.STRING, text, parameter="detector", archived=True),
        PV(staged("detector"), Kind.STRING, text, writable=True, parameter="detector"),
    ]
    text = "pyFAI detector configuration (JSON)"
    found += [
        PV(setpoint("detector_config"), Kind.TEXT, text, writable=True, parameter="detector_config"),
        PV(readback("detector_config"), Kind.TEXT, text, parameter="detector_config"),
    ]
    return tuple(found)


_DO = ("Idle", "Do")
_SWITCH = ("Off", "On")
_HEALTH = ("OK", "FAILED")

_LOST = Alarm(
    "No image has this geometry now, Reason_RBV says why: move the detector back, put the geometry of this place in "
    "force (Activate), or calibrate.",
    delay=60,
    latching=False,
)
_STORE = Alarm("Storage:Message_RBV says why. Nothing is lost, and every put is refused: make room where state_dir is.")
_ACCESS = Alarm("Access:Message_RBV says why. The rules before are in force: mend the file, then reload the service.")
_PUTLOG = Alarm("PutLog:Message_RBV says why. Its lines are kept in memory: make room where the log is.")

DETECTOR_PVS: tuple[PV, ...] = (
    *_geometry_pvs(),
    PV("Stage:Apply", Kind.ENUM, "Commit the staged values as one", states=_DO, writable=True),
    PV("Stage:Clear", Kind.ENUM, "Forget the staged values", states=_DO, writable=True),
    PV("Stage:Dirty_RBV", Kind.ENUM, "Whether values are staged", states=("Clean", "Dirty")),
    PV("Request", Kind.TEXT, "One transaction (JSON)", writable=True),
    PV("Results_RBV", Kind.TEXT, "The last results, newest first (JSON)"),
    PV("Snapshot_RBV", Kind.TEXT, "All that is in force, at once (JSON)"),
    PV("Poni", Kind.TEXT, "Put a whole PONI text", writable=True),
    PV("Poni_RBV", Kind.TEXT, "The geometry in force as PONI text"),
    PV("Here", Kind.ENUM, "The geometry holds where links stand", states=_DO, writable=True),
    PV("Activate", Kind.STRING, "Put a revision or label in force", writable=True),
    PV("Revision_RBV", Kind.LONG, "Revision in force (0: none)", archived=True),
    PV("Serial_RBV", Kind.LONG, "Number of the activation in force", archived=True),
    PV("Time_RBV", Kind.STRING, "In force since (UTC)"),
    PV("Label_RBV", Kind.STRING, "Label of the revision in force", archived=True),
    PV(
        "Status_RBV",
        Kind.ENUM,
        "Whether the geometry holds",
        states=tuple(Status.__members__),
        archived=True,
        alarm=_LOST,
    ),
    PV("Reason_RBV", Kind.TEXT, "Why the status is what it is"),
    PV("Follow", Kind.ENUM, "Let the geometry follow the links", states=_SWITCH, writable=True),
    PV("Follow_RBV", Kind.ENUM, "Whether the geometry follows the links", states=_SWITCH, archived=True),
    PV("Links_RBV", Kind.TEXT, "Where the linked PVs stand (JSON)"),
    PV("Links:Table_RBV", Kind.TEXT, "Where the linked PVs stand: a table"),
    PV("Accepted_RBV", Kind.LONG, "Transactions accepted since start"),
    PV("Rejected_RBV", Kind.LONG, "Transactions refused since start"),
    PV("Message_RBV", Kind.TEXT, "The last word to a person"),
    PV("Energy_RBV", Kind.DOUBLE, "Photon energy", DISPLAY_UNITS["energy"].unit, 4),
    PV("WavelengthA_RBV", Kind.DOUBLE, "Wavelength", DISPLAY_UNITS["wavelength"].unit, 6),
    PV("BeamX_RBV", Kind.DOUBLE, "Beam centre along x (Fit2D)", DISPLAY_UNITS["beam_x"].unit, 3),
    PV("BeamY_RBV", Kind.DOUBLE, "Beam centre along y (Fit2D)", DISPLAY_UNITS["beam_y"].unit, 3),
    PV("DirectDist_RBV", Kind.DOUBLE, "Distance along the beam (Fit2D)", DISPLAY_UNITS["direct_dist"].unit, 3),
    PV("Tilt_RBV", Kind.DOUBLE, "Tilt of the detector (Fit2D)", DISPLAY_UNITS["tilt"].unit, 4),
    PV("TiltPlane_RBV", Kind.DOUBLE, "Rotation of the tilt plane (Fit2D)", DISPLAY_UNITS["tilt_plane"].unit, 3),
    PV("Method_RBV", Kind.STRING, "How the geometry was found"),
    PV("Calibrant_RBV", Kind.STRING, "Powder standard"),
    PV("Residual_RBV", Kind.DOUBLE, "Residual of the fit", "px", 4),
    PV("NPoints_RBV", Kind.LONG, "Control points of the fit"),
    PV("NRings_RBV", Kind.LONG, "Rings of the fit"),
    PV("Author_RBV", Kind.STRING, "Who committed it (a claim)"),
    PV("RunUid_RBV", Kind.STRING, "Run of the calibration image"),
    PV("Comment_RBV", Kind.TEXT, "Comment of its author"),
    PV("History:Count_RBV", Kind.LONG, "Number of revisions"),
    PV("History:Select", Kind.LONG, "Revision to look at", writable=True),
    PV("History:Selected_RBV", Kind.TEXT, "The selected revision (JSON)"),
    PV("History:List_RBV", Kind.TEXT, "Revisions around the selected (JSON)"),
    PV("History:Activate", Kind.ENUM, "Put the selected revision in force", states=_DO, writable=True),
    PV("History:Table_RBV", Kind.TEXT, "Revisions around the selected: a table"),
    PV("History:Compare_RBV", Kind.TEXT, "The selected beside the one in force"),
    PV("History:Read", Kind.STRING, "Read records, such as: revision 12", writable=True, asks=True),
    PV("History:Read_RBV", Kind.TEXT, "The records that were read (JSON)"),
)
"""The PVs of one detector."""

IOC_PVS: tuple[PV, ...] = (
    PV("Storage:Status_RBV", Kind.ENUM, "Whether the store takes writes", states=_HEALTH, archived=True, alarm=_STORE),
    PV("Storage:Message_RBV", Kind.TEXT, "What is wrong with the store"),
    PV("Storage:Latency_RBV", Kind.DOUBLE, "Time of the last write to the store", "s", 4, archived=True),
    PV("Storage:Free_RBV", Kind.DOUBLE, "Free space where the store is", "byte", 0, archived=True),
    PV("Denied_RBV", Kind.LONG, "Puts that the access rules denied", archived=True),
    PV("Access:Status_RBV", Kind.ENUM, "Whether the access rules could be read", states=_HEALTH, alarm=_ACCESS),
    PV("Access:Message_RBV", Kind.TEXT, "Which access rules are in force"),
    PV("PutLog:Status_RBV", Kind.ENUM, "Whether the put log is written", states=_HEALTH, alarm=_PUTLOG),
    PV("PutLog:Message_RBV", Kind.TEXT, "What is wrong with the put log"),
    PV("Version_RBV", Kind.STRING, "Version of ponikeeper", archived=True),
    PV("HEARTBEAT", Kind.DOUBLE, "Counts seconds, and that monitors live"),
    PV("UPTIME", Kind.STRING, "Time since the start"),
    PV("STARTTOD", Kind.STRING, "Time of the start (local)"),
    PV("START_CNT", Kind.DOUBLE, "Number of starts", archived=True),
    PV("TOD", Kind.STRING, "Time of day (local)"),
    PV("CA_CLNT_CNT", Kind.DOUBLE, "Connected clients", archived=True),
    PV("CA_CONN_CNT", Kind.DOUBLE, "Channels of the clients", archived=True),
    PV("MEM_USED", Kind.DOUBLE, "Memory in use", "byte", archived=True),
    PV("FD_CNT", Kind.DOUBLE, "Open files", archived=True),
    PV("FD_FREE", Kind.DOUBLE, "Files that could be opened yet", archived=True),
    PV("HOSTNAME", Kind.STRING, "Name of the host"),
    PV("PROCESS_ID", Kind.DOUBLE, "Number of the process"),
    PV("ENGINEER", Kind.STRING, "Who looks after this IOC"),
    PV("LOCATION", Kind.STRING, "Where this IOC is"),
    PV("APP_DIR", Kind.TEXT, "Working directory"),
    PV("EPICS_VERSION", Kind.STRING, "Version of the CA server (caproto)"),
)
"""The IOC's own PVs; those in capitals have the names that iocStats gives on every IOC."""


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
