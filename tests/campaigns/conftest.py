"""Campaigns test stores on a disk, not in memory."""

import pytest


@pytest.fixture
def quick_path(tmp_path):
    """Return a folder on the disk, even where memory would be faster."""
    return tmp_path
