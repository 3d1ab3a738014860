"""What bluesky-darkframes does not do with every Python."""

import sys

import pytest

loses_dark_images = pytest.mark.xfail(
    sys.version_info >= (3, 12),
    reason="bluesky-darkframes 0.6 loses the datum documents of its dark frames: it forwards collect_asset_docs by "
    "__getattr__, which isinstance of a Protocol has ignored since Python 3.12",
    strict=True,
)
"""Mark of a test that reads the images of dark frames back."""
