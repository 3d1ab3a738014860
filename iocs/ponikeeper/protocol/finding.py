"""One reason against a revision, with the status that it leads to."""

from dataclasses import dataclass

from ponikeeper.protocol.status import Status


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason against a revision.

    Parameters
    ----------
    status
        The status that it leads to; VALID for what is only mentioned: a link that is out of service, a file whose
        content is not known.
    link
        Name of the link that it is about; empty if it is about the revision itself.
    text
        For a person.
    advice
        What an operator should do about it.
    """

    status: Status
    link: str
    text: str
    advice: str
