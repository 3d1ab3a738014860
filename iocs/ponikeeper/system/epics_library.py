"""EPICS' client library is loaded without setuptools, which it does not need and which takes longer than the rest."""

import sys
from importlib.machinery import PathFinder
from types import ModuleType


def skip_setuptools() -> None:
    """Make the package `setuptools_dso` importable without its build commands.

    `epicscorelibs` finds its libraries by `setuptools_dso.runtime`; the package itself imports setuptools (0.27 s of
    the 0.44 s that `import aioca` takes). This is for processes of ponikeeper only: a process that builds libraries
    has to import the package itself before.
    """
    if "setuptools_dso" in sys.modules:
        return
    spec = PathFinder.find_spec("setuptools_dso")
    if spec is not None and spec.submodule_search_locations is not None:
        package = ModuleType("setuptools_dso", "Its module runtime only.")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["setuptools_dso"] = package
