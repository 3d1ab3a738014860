"""Every public function, class and method documents parameters, results and errors in numpydoc sections."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import public_api

PACKAGES = (
    "ponikeeper.errors",
    "ponikeeper.geometry",
    "ponikeeper.geometry.kinematics",
    "ponikeeper.history",
    "ponikeeper.protocol",
    "ponikeeper.store",
    "ponikeeper_client",
    "ponikeeper_client.documents",
    "ponikeeper_client.guard",
    "ponikeeper_client.images",
    "ponikeeper_client.plans",
    "ponikeeper_client.queueserver",
    "ponikeeper_client.recall",
    "ponikeeper_client.report",
    "ponikeeper_client.xpdacq",
)
"""The packages whose public names are checked."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Public:
    """A function, class or method with its docstring."""

    name: str
    node: Function | ast.ClassDef

    @property
    def text(self) -> str:
        return ast.get_docstring(self.node) or ""

    def section(self, title: str) -> str | None:
        """Return the body of a section of the docstring; None if there is none."""
        match = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", self.text, re.MULTILINE | re.DOTALL)
        return None if match is None else match[1]

    def listed(self, *titles: str) -> set[str]:
        """Return the names that sections describe: ``detector, stream`` are two."""
        lines = "".join(self.section(title) or "" for title in titles).splitlines()
        heads = [line.partition(" : ")[0] for line in lines if line and not line.startswith(" ")]
        return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def described(package: str) -> Iterator[Public]:
    """Yield each public function, class and method of a package."""
    for name in public_api.public_names(package):
        found = public_api.find(name, package)
        assert found is not None, f"{package}.{name} cannot be found"
        if not isinstance(found.node, Function | ast.ClassDef):
            continue
        yield Public(f"{package}.{name}", found.node)
        if isinstance(found.node, ast.ClassDef):
            for part in found.node.body:
                if isinstance(part, Function) and not part.name.startswith("_"):
                    yield Public(f"{package}.{name}.{part.name}", part)


def decorators(node: Function | ast.ClassDef) -> set[str]:
    names = (decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list)
    return {ast.unparse(name).rpartition(".")[2] for name in names}


def parameters(node: Function) -> list[str]:
    """Return the names of a signature that a caller can give."""
    arguments = node.args
    several = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = [argument.arg for argument in several if argument is not None]
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def fields(node: ast.ClassDef) -> list[str]:
    """Return what the class is made with: the fields of a dataclass, or the parameters of its `__init__`."""
    if "dataclass" in decorators(node):
        parts = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
        names = [part.target.id for part in parts if "ClassVar" not in ast.unparse(part.annotation)]
        return [name for name in names if not name.startswith("_")]
    inits = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    return [name for init in inits for name in parameters(init) if name != "kwargs"]


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_nodes(child)


def problems(public: Public) -> list[str]:
    """Return what the docstring lacks."""
    node = public.node
    if not public.text:
        return ["no docstring"]
    if isinstance(node, ast.ClassDef):
        missing = [name for name in fields(node) if name not in public.listed("Parameters", "Attributes")]
        return [f"Parameters: {', '.join(missing)}"] if missing else []
    lacking = []
    is_property = bool(decorators(node) & {"property", "cached_property"})
    missing = [name for name in parameters(node) if name not in public.listed("Parameters")]
    if missing:
        lacking.append(f"Parameters: {', '.join(missing)}")
    returns = None if node.returns is None else ast.unparse(node.returns)
    if returns not in (None, "None", "NoReturn") and not is_property:
        titles = ("Returns", "Yields")
        if all(public.section(title) is None for title in titles):
            lacking.append("Returns")
    raised = [child for child in own_nodes(node) if isinstance(child, ast.Raise) and child.exc is not None]
    prose = public.text.partition("\n----")[0]
    if (raised or re.search(r"\braises?\b", prose, re.IGNORECASE)) and not public.listed("Raises"):
        lacking.append("Raises")
    return lacking


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_have_the_sections_of_their_signatures(package):
    publics = list(described(package))
    assert publics
    assert {public.name: found for public in publics if (found := problems(public))} == {}


def test_every_package_with_public_names_is_checked():
    sources = (public_api.ROOT / "iocs", public_api.ROOT / "client")
    inits = [(root, file) for root in sources for file in root.rglob("ponikeeper*/**/__init__.py")]
    assert inits
    declaring = {
        ".".join(file.relative_to(root).parent.parts)
        for root, file in inits
        if re.search(r"^__all__ = ", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert declaring - set(PACKAGES) == set()


def test_check_finds_missing_sections():
    source = '''
def fit(image, *, start=None) -> float:
    """Fit an image.

    Parameters
    ----------
    image
        Shape (y, x).
    """
    raise ValueError

class Shutter:
    """A shutter."""

    def __init__(self, device) -> None:
        self.device = device

    def open(self) -> None:
        """Open it; raises `ValueError` if that fails."""

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
'''
    fit, shutter = ast.parse(source).body
    methods = {part.name: Public(part.name, part) for part in shutter.body if isinstance(part, ast.FunctionDef)}
    assert problems(Public("fit", fit)) == ["Parameters: start", "Returns", "Raises"]
    assert problems(Public("Shutter", shutter)) == ["Parameters: device"]
    assert problems(methods["open"]) == ["Raises"]
    assert problems(methods["is_open"]) == []
