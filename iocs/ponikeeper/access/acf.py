"""Parsing of EPICS access security files: UAG, HAG, ASG and RULE, with the syntax of EPICS base. Pure.

Other features of base (INPx and CALC: rules that depend on other PVs; METHOD, AUTHORITY, RPC) are errors
that name the line, because ignoring a condition would change the meaning of the rule.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from ponikeeper.access.rules import Network, Right, Rule
from ponikeeper.errors import AccessFileError

T = TypeVar("T")

Resolve = Callable[[str], frozenset[Network]]
"""Returns the addresses of a host that the file names; an empty set for an unknown host."""

DEFAULT = "DEFAULT"
"""The default group; without rights where the file does not define it."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*) | (?P<newline>\n) | (?P<mark>[(){},])
      | "(?P<quoted>(?:[^"\n\\]|\\.)*)" | (?P<word>[A-Za-z0-9_\-+:.\[\]<>;]+)""",
    re.VERBOSE,
)
_WHOLE = re.compile(r"[-+]?[0-9]+")
_INPUT = re.compile(r"INP[A-U]")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int
    quoted: bool = False

    @property
    def is_name(self) -> bool:
        return self.quoted or not (self.text in "(){}," or _WHOLE.fullmatch(self.text))


def parse(text: str, resolve: Resolve) -> Mapping[str, tuple[Rule, ...]]:
    """Parse an access security file.

    Parameters
    ----------
    text
        Content of the file; macros are not expanded.
    resolve
        Returns the addresses of a host.

    Returns
    -------
    mapping of str to tuple of Rule
        The rules of each access security group, by its name; DEFAULT is always among them.

    Raises
    ------
    AccessFileError
        The file is invalid or uses an unsupported feature; the message names the line and what was expected there.
    """
    return _Parser(_tokens(text), resolve).file()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    line, at = 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise AccessFileError(f"line {line}: {text[at : at + 20].splitlines()[0]!a} is not valid here")
        if match["newline"] is not None:
            line += 1
        elif match["quoted"] is not None:
            tokens.append(_Token(match["quoted"], line, quoted=True))
        elif match["blank"] is None:
            tokens.append(_Token(match[0], line))
        at = match.end()
    return [*tokens, _Token("", line)]


class _Parser:
    def __init__(self, tokens: list[_Token], resolve: Resolve) -> None:
        self._tokens, self._at = tokens, 0
        self._resolve = resolve
        self._users: dict[str, frozenset[str]] = {}
        self._hosts: dict[str, frozenset[Network]] = {}
        self._groups: dict[str, tuple[Rule, ...]] = {}

    def file(self) -> Mapping[str, tuple[Rule, ...]]:
        if self._ended:
            self._refuse(self._next, "UAG, HAG or ASG")
        while not self._ended:
            token = self._take()
            if token.text == "UAG":
                self._define(self._users, frozenset)
            elif token.text == "HAG":
                self._define(self._hosts, lambda names: frozenset[Network]().union(*map(self._resolve, names)))
            elif token.text == "ASG":
                self._group()
            else:
                self._refuse(token, "UAG, HAG or ASG")
        return {DEFAULT: (), **self._groups}

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    @property
    def _ended(self) -> bool:
        return self._at == len(self._tokens) - 1

    def _take(self) -> _Token:
        token = self._next
        self._at += not self._ended
        return token

    def _is_next(self, mark: str) -> bool:
        return self._next.text == mark and not self._next.quoted

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token.quoted or token.text != mark:
            self._refuse(token, f'"{mark}"')

    def _name(self) -> _Token:
        token = self._take()
        if not token.is_name:
            self._refuse(token, "a name")
        return token

    def _names(self, opening: str, closing: str) -> list[_Token]:
        self._expect(opening)
        names = [self._name()]
        while self._is_next(","):
            self._take()
            names.append(self._name())
        self._expect(closing)
        return names

    def _heading(self, known: Mapping[str, object]) -> str:
        self._expect("(")
        name = self._name()
        self._expect(")")
        if name.text in known:
            raise AccessFileError(f"line {name.line}: {name.text} is defined twice: give each group its own name")
        return name.text

    def _define(self, groups: dict[str, frozenset[T]], members: Callable[[list[str]], frozenset[T]]) -> None:
        name = self._heading(groups)
        names = [token.text for token in self._names("{", "}")] if self._is_next("{") else []
        groups[name] = members(names)

    def _group(self) -> None:
        name = self._heading(self._groups)
        rules: list[Rule] = []
        if self._is_next("{"):
            self._take()
            while not (rules and self._is_next("}")):
                token = self._take()
                if token.text != "RULE" or token.quoted:
                    self._refuse(token, 'RULE or "}"' if rules else "RULE", "rules cannot depend on PVs here")
                rules.append(self._rule())
            self._take()
        self._groups[name] = tuple(rules)

    def _rule(self) -> Rule:
        self._expect("(")
        level = self._take()
        if level.quoted or not level.text.isdecimal():
            self._refuse(level, "the level, such as 1")
        self._expect(",")
        right = self._take()
        if right.text not in Right.__members__:
            self._refuse(right, ", ".join(Right.__members__))
        if self._next.text == ",":
            self._take()
            option = self._take()
            if option.text not in ("TRAPWRITE", "NOTRAPWRITE"):  # puts are logged in either case
                self._refuse(option, "TRAPWRITE or NOTRAPWRITE")
        self._expect(")")
        users, hosts = self._conditions() if self._is_next("{") else (None, None)
        return Rule(Right[right.text], users, hosts, int(level.text))

    def _conditions(self) -> tuple[frozenset[str] | None, frozenset[Network] | None]:
        """Parse the conditions of a rule: groups of one kind are united, both kinds must apply."""
        self._take()
        users: frozenset[str] | None = None
        hosts: frozenset[Network] | None = None
        while not (self._is_next("}") and (users is not None or hosts is not None)):
            token = self._take()
            if token.text == "UAG" and not token.quoted:
                users = (users or frozenset[str]()).union(*self._members(token.text, self._users))
            elif token.text == "HAG" and not token.quoted:
                hosts = (hosts or frozenset[Network]()).union(*self._members(token.text, self._hosts))
            else:
                self._refuse(token, 'UAG, HAG or "}"', "rules cannot depend on PVs here")
        self._take()
        return users, hosts

    def _members(self, kind: str, groups: Mapping[str, frozenset[T]]) -> list[frozenset[T]]:
        names = self._names("(", ")")
        for name in names:
            if name.text not in groups:
                known = ", ".join(groups) or "none"
                raise AccessFileError(
                    f"line {name.line}: {kind}({name.text}) is not defined above: expected one of {known}"
                )
        return [groups[name.text] for name in names]

    def _refuse(self, token: _Token, expected: str, unsupported: str = "") -> NoReturn:
        actual = f'"{token.text}"' if token.text or token.quoted else "the end of the file"
        more = f" ({unsupported})" if unsupported and (_INPUT.fullmatch(token.text) or token.text == "CALC") else ""
        raise AccessFileError(f"line {token.line}: {actual}: expected {expected}{more}")
