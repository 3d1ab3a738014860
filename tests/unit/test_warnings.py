"""Warnings raised in ponikeeper's own code are errors in every test; those of other libraries are listed by module."""

import threading
import warnings

import pytest

from live import LiveIoc

NUMPY = "Setting the shape on a NumPy array has been deprecated in NumPy 2.5."


def raise_warning_in(module: str, category: type[Warning], message: str) -> None:
    """Run code that warns, as if it were in the named module."""
    program = "def warn():\n    warnings.warn(message, category)\nwarn()\n"
    exec(program, {"__name__": module, "warnings": warnings, "category": category, "message": message})


@pytest.mark.parametrize("category", [DeprecationWarning, UserWarning, ResourceWarning, FutureWarning])
@pytest.mark.parametrize(
    "module",
    ["ponikeeper.store.store_thread", "ponikeeper_client.device", "test_device", "numpy.linalg", "epicscorelibs.ca"],
)
@pytest.mark.parametrize("message", ["old", NUMPY])
def test_warning_is_an_error(module, category, message):
    with pytest.raises(category):
        raise_warning_in(module, category, message)


def test_warning_is_an_error_in_a_thread_too():
    errors = []

    def run():
        try:
            raise_warning_in("ponikeeper.store.store_thread", DeprecationWarning, NUMPY)
        except DeprecationWarning as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_listed_warning_of_another_library_is_ignored_in_its_module_only():
    raise_warning_in("epicscorelibs.ca.dbr", DeprecationWarning, NUMPY)
    with pytest.raises(DeprecationWarning):
        raise_warning_in("epicscorelibs.ca.dbr", DeprecationWarning, "another")


def test_warnings_of_an_ioc_are_found_in_its_log(tmp_path):
    ioc = LiveIoc(tmp_path, 1, "T")
    assert ioc.warnings() == []
    ours = warnings.formatwarning("unclosed", ResourceWarning, "/home/me/iocs/ponikeeper/store/writer.py", 3)
    theirs = warnings.formatwarning("old", DeprecationWarning, "/home/me/site-packages/caproto/server.py", 3)
    ioc.stderr.write_text(f"INFO started\n{ours}{theirs}")
    assert ioc.warnings() == ["/home/me/iocs/ponikeeper/store/writer.py:3: ResourceWarning: unclosed"]
