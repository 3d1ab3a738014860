"""What the campaigns are about is the disk, and a store on one."""

import pytest


@pytest.fixture
def quick_path(tmp_path):
    """Give a folder on the disk, whatever else would be quicker."""
    return tmp_path
