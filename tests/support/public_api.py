"""Signatures and docstrings of public names, read from the source without importing it, as Markdown."""

import ast
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SOURCES = {"ponikeeper": ROOT / "iocs", "ponikeeper_client": ROOT / "client"}

PACKAGES = (
    "ponikeeper_client",
    "ponikeeper_client.queueserver",
    "ponikeeper_client.xpdacq",
    "ponikeeper.geometry",
    "ponikeeper.history",
    "ponikeeper.protocol",
    "ponikeeper.errors",
)
"""What a program may import from."""

_SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Attributes", "Notes", "Examples", "References")


@dataclass(frozen=True, slots=True)
class Public:
    """One public name: where it is defined, and its node.

    Parameters
    ----------
    doc
        Its docstring; of a constant, the text that follows the assignment.
    """

    name: str
    module: str
    node: ast.AST
    doc: str

    @property
    def has_docstring_of_its_own(self) -> bool:
        """Whether it is a class or a function: a constant needs no docstring."""
        return isinstance(self.node, ast.ClassDef | ast.FunctionDef)


def module_file(module: str) -> Path:
    """Return the source file of a module or package."""
    path = _SOURCES[module.partition(".")[0]].joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(module_file(module).read_text(encoding="utf-8"))


def public_names(module: str) -> list[str]:
    """Return `__all__` of a module; without one, its public classes and functions."""
    for node in _tree(module).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return [element.value for element in node.value.elts]  # type: ignore[union-attr]
    defined = (node for node in _tree(module).body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return [node.name for node in defined if not node.name.startswith("_")]


def find(name: str, module: str) -> Public | None:
    """Find where a public name is defined, through the imports of the packages."""
    body = _tree(module).body
    for number, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Public(name, module, node, inspect.cleandoc(ast.get_docstring(node) or ""))
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                after = body[number + 1] if number + 1 < len(body) else None
                has_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                return Public(name, module, node, inspect.cleandoc(after.value.value) if has_doc else "")
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in _SOURCES:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find(alias.name, node.module)
    return None


def signature(public: Public) -> str:
    """Return the signature as it is written in the source."""
    node = public.node
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{public.name}({ast.unparse(node.args)}){returns}"
    if isinstance(node, ast.ClassDef):
        inits = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        if inits:
            arguments = re.sub(r"^self(, )?", "", ast.unparse(inits[0].args))
            return f"{public.name}({arguments})"
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            shown = [ast.unparse(each) for each in fields if "ClassVar" not in ast.unparse(each.annotation)]
            return f"{public.name}({', '.join(shown)})"
        bases = ", ".join(base for base in map(ast.unparse, node.bases) if not base.startswith("_"))
        return f"{public.name}({bases})" if bases else public.name
    return ast.unparse(node) if len(ast.unparse(node)) < 200 else public.name


def methods(public: Public) -> list[Public]:
    """Return the public methods and properties of a class, and of its private bases, that have a docstring."""
    if not isinstance(public.node, ast.ClassDef):
        return []
    own = _own_methods(public)
    names = {each.name for each in own}
    return own + [each for base in _private_bases(public) for each in _own_methods(base) if each.name not in names]


def _private_bases(public: Public) -> list[Public]:
    """Return the base classes of modules that users do not import."""
    assert isinstance(public.node, ast.ClassDef)
    names = (ast.unparse(base).partition("[")[0] for base in public.node.bases)
    found = (find(name, public.module) for name in names)
    return [
        base
        for base in found
        if base is not None and base.module.startswith("ponikeeper_client._") and isinstance(base.node, ast.ClassDef)
    ]


def _own_methods(public: Public) -> list[Public]:
    assert isinstance(public.node, ast.ClassDef)
    functions = [each for each in public.node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [each for each in functions if not each.name.startswith("_") and ast.get_docstring(each)]
    return [Public(each.name, public.module, each, inspect.cleandoc(ast.get_docstring(each) or "")) for each in named]


def markdown(doc: str) -> str:
    """Turn a numpydoc docstring into Markdown."""
    parts = re.split(r"^(\w+)\n-{3,}\n", doc, flags=re.MULTILINE)
    text = [_prose(parts[0])]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        assert title in _SECTIONS, f"unknown section {title} of a docstring"
        text.append(f"**{title}**")
        text.append(_prose(body) if title in ("Notes", "Examples", "References") else _items(body))
    return "\n\n".join(part for part in text if part)


def _items(body: str) -> str:
    items: list[list[str]] = []
    for line in body.splitlines():
        if line and not line.startswith(" "):
            items.append([line])
        elif items:
            items[-1].append(line.strip())
    lines = [f"- `{head}`" + (f": {' '.join(filter(None, rest))}" if any(rest) else "") for head, *rest in items]
    return "\n".join(lines).replace("``", "`")


def _prose(text: str) -> str:
    """Format paragraphs; an example for the interpreter becomes a block, and double backticks single ones."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        code = paragraph.lstrip().startswith(">>>") or paragraph.startswith("    ")
        parts.append(f"```pycon\n{inspect.cleandoc(paragraph)}\n```" if code else paragraph.replace("``", "`"))
    return "\n\n".join(parts)


def package_reference(package: str) -> str:
    """Return the section of the API page about one package."""
    doc = ast.get_docstring(_tree(package)) or ""
    sections = [f"## `{package}`", markdown(inspect.cleandoc(doc))]
    for name in public_names(package):
        public = find(name, package)
        assert public is not None, f"{package}.{name} is in __all__ and cannot be found"
        sections += [f"### `{name}`", f"`{signature(public)}`", markdown(public.doc)]
        members: list[str] = []
        for method in methods(public):
            first = method.doc.partition("\n\n")[0].replace("\n", " ").replace("``", "`")
            arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(method.node.args))  # type: ignore[attr-defined]
            is_property = any("property" in ast.unparse(each) for each in method.node.decorator_list)  # type: ignore[attr-defined]
            shown = method.name if is_property else f"{method.name}({arguments})"
            members.append(f"- `{name}.{shown}`: {first}")
        sections.append("\n".join(members))
    return "\n\n".join(section for section in sections if section).replace("\n\n\n", "\n\n")
