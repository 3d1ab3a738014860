"""What the tests of one unit have in common."""

import pytest

from stores import NAME


@pytest.fixture
def path(quick_path):
    """Where a store may be made."""
    return quick_path / NAME
