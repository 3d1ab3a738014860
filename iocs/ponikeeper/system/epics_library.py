"""EPICS' client library is loaded without what takes longer than the library: setuptools, and a look at all modules."""

import sys
from importlib.machinery import PathFinder
from types import ModuleType


def prepare_library() -> None:
    """Make EPICS' client library fast to load.

    `epicscorelibs` finds its libraries by `setuptools_dso.runtime`. The package `setuptools_dso` itself imports
    setuptools (0.27 s of the 0.44 s that `import aioca` takes), and `runtime` finds the name of its caller by the
    source text of each module on the stack (0.04 s). This is for processes of ponikeeper only: a process that builds
    libraries has to import the package itself before.
    """
    if "setuptools_dso" in sys.modules:
        return
    spec = PathFinder.find_spec("setuptools_dso")
    if spec is None or spec.submodule_search_locations is None:
        return
    package = ModuleType("setuptools_dso", "Its module runtime only.")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["setuptools_dso"] = package
    from setuptools_dso import runtime

    for name in ("dylink_prepare_dso", "find_dso"):  # pvxslibs imports them from the package
        if hasattr(runtime, name):
            setattr(package, name, getattr(runtime, name))
    if hasattr(runtime, "_auto_pkg"):
        runtime._auto_pkg = _caller_of_caller  # it has no other way to give it the name


def _caller_of_caller() -> str:
    """Return the name of the module that called the function that calls this one."""
    return sys._getframe(2).f_globals["__name__"]  # as `inspect` does
