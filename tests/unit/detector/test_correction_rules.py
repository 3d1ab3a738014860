"""Which corrections are added, and which requests are refused."""

import pytest

from ponikeeper.detector.correction_rules import decide_correction
from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction
from ponikeeper.protocol import Retract, Supersede
from ponikeeper.store import StoredState
from stores import time_of

NOW = time_of(30)
STORED = StoredState(count=4, corrections=(Correction(1, "retract", 4, None, None, None, "no", time_of(1), "a"),))


def test_correction_has_what_the_request_says():
    request = Supersede(1, 2, "typed wrong", time_of(1), time_of(2))
    assert decide_correction(request, STORED, NOW, "b") == Correction(
        0, "supersede", 1, 2, time_of(1), time_of(2), "typed wrong", NOW, "b"
    )
    assert decide_correction(Retract(3, "beam stop"), STORED, NOW, "b") == Correction(
        0, "retract", 3, None, None, None, "beam stop", NOW, "b"
    )


def test_every_problem_is_named():
    with pytest.raises(RefusedError) as caught:
        decide_correction(Supersede(9, 8, "why"), STORED, NOW, "b")
    assert len(caught.value.problems) == 2
    with pytest.raises(RefusedError, match="revision 4 was retracted"):
        decide_correction(Supersede(1, 4, "why"), STORED, NOW, "b")
