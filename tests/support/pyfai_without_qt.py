"""pyFAI without Qt, which it loads with its PONI files: PySide would read the source of each module that imports."""

import importlib
import sys
from typing import Any, cast

cast("dict[str, Any]", sys.modules)["PySide6"] = None  # as if it were not installed
importlib.import_module("pyFAI.io.ponifile")
sys.modules.pop("PySide6", None)
