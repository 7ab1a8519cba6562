"""Claims, of tokens and of userinfo: where they stand in the payload, and whose they are.

A path that probably means something else than it says is a warning, since it is legal: a name with
dots, a step that is a number, and two claims of which one holds the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from policyd.diagnostics import Diagnostic, Label, Severity, Source
from policyd.language import nodes, policy
from policyd.language.declared_types import DeclaredTypes, IsNew
from policyd.language.reporter import Report
from policyd.language.symbols import Located, Symbols
from policyd.language.types import TOKEN_FACTS, Fact, Origin, RecordField, Type

#: How JSONPath (RFC 9535), and programs, write a way through objects.
_DOTTED = re.compile(r"(?:\$\.?)?([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)")
_INDEX = re.compile(r"[0-9]+|-")
_Written = nodes.Claim | nodes.Userinfo
#: The fields of the elements of what is declared as a list.
RecordOf = Callable[[nodes.Claim | nodes.Userinfo, Type, Source], tuple[RecordField, ...]]


class DeclaredClaims:
    """The claims of one API."""

    def __init__(
        self,
        symbols: Symbols,
        report: Report,
        is_new: IsNew,
        types: DeclaredTypes,
        record: RecordOf,
    ) -> None:
        self._symbols = symbols
        self._report = report
        self._is_new = is_new
        self._types = types
        self._record = record
        self._written: list[tuple[Located[_Written], policy.ClaimDeclaration]] = []

    def declare(self, claim: _Written, source: Source) -> None:
        """Take a claim into the table."""
        name = claim.name
        in_token = isinstance(claim, nodes.Claim)
        if in_token and name.text in TOKEN_FACTS:
            self._report(
                Diagnostic(
                    "P1013",
                    f"every token has `token.{name.text}`",
                    Label(source, name.span),
                    help="give the claim another name, and its path: "
                    f'`claim my_{name.text}: … from "{name.text}"`',
                )
            )
            return
        type_, vocabulary = self._types.read(claim.type, source)
        path = (name.text,) if claim.path is None else self.path(claim.path, source)
        if path == ("sub",) and not in_token:
            self._report(
                Diagnostic(
                    "P1013",
                    "the userinfo of a token has its `sub`",
                    Label(source, claim.span),
                    help="read `token.sub`: a response about another subject is discarded",
                )
            )
            return
        origin, declared = (
            (Origin.CLAIM, self._symbols.claims)
            if in_token
            else (Origin.USERINFO, self._symbols.userinfo)
        )
        if self._is_new("claim" if in_token else "userinfo claim", name, source):
            declared[name.text] = policy.ClaimDeclaration(
                Fact(origin, name.text, type_, vocabulary, self._record(claim, type_, source)),
                path,
                claim.type.optional,
                claim.docs,
                None if claim.issuer is None else claim.issuer.value,
                None if claim.issuer is None else Label(source, claim.issuer.span),
            )
            self._written.append((Located(claim, source), declared[name.text]))

    # -- paths -------------------------------------------------------------------------------

    def path(self, text: nodes.Text, source: Source) -> tuple[str, ...]:
        """Read a member's name or, with a leading slash, a JSON Pointer (RFC 6901)."""
        value = text.value
        if not value.startswith("/"):
            parts = [value]
            self._warn_of_dots(text, source)
        else:
            raw = value[1:].split("/")
            if any(re.search(r"~(?![01])", part) for part in raw):
                self._bad_path(text, source, "in a JSON Pointer `~` is written `~0`")
            parts = [part.replace("~1", "/").replace("~0", "~") for part in raw]
            self._warn_of_index(text, source, parts)
        if not all(parts):
            self._bad_path(text, source, "no part of the path may be empty")
        return tuple(parts)

    def _bad_path(self, text: nodes.Text, source: Source, help: str) -> None:
        self._report(
            Diagnostic(
                "P1022",
                f'"{text.value}" is not a path',
                Label(source, text.span),
                help=help + ' (RFC 6901): `"/realm_access/roles"`',
            )
        )

    def _warn_of_dots(self, text: nodes.Text, source: Source) -> None:
        written = _DOTTED.fullmatch(text.value)
        if written is None or (written[1] == text.value and "." not in text.value):
            return
        pointer = "/" + written[1].replace(".", "/")
        self._warn(
            "P1034",
            f'"{text.value}" is one claim with this very name',
            Label(source, text.span),
            f'a claim within objects has a JSON Pointer (RFC 6901): `"{pointer}"`',
        )

    def _warn_of_index(self, text: nodes.Text, source: Source, parts: list[str]) -> None:
        step = next((part for part in parts if _INDEX.fullmatch(part)), None)
        if step is not None:
            self._warn(
                "P1036",
                f"`{step}` is a member called so, and no element of an array",
                Label(source, text.span),
                "declare the whole array as a set, and ask what is in it",
            )

    def check_paths(self) -> None:
        """Find claims on one path, and claims of which one holds another."""
        for kind in (nodes.Claim, nodes.Userinfo):
            by_path: dict[tuple[str, ...], list[tuple[Located[_Written], str | None]]] = {}
            here = [pair for pair in self._written if isinstance(pair[0].node, kind)]
            for one, declared in here:
                by_path.setdefault(declared.path, []).append((one, declared.issuer))
            for one, declared in here:
                self._check_path(one, declared, by_path)

    def _check_path(
        self,
        one: Located[_Written],
        declared: policy.ClaimDeclaration,
        by_path: dict[tuple[str, ...], list[tuple[Located[_Written], str | None]]],
    ) -> None:
        path = declared.path
        for length in range(1, len(path) + 1):
            for other, issuer in by_path.get(path[:length], ())[:_COMPARED]:
                if other is one:
                    break  # of two on one path, the later one is reported
                if declared.issuer is None or issuer is None or issuer == declared.issuer:
                    self._overlap(one, other, same=length == len(path))
                    return

    def _overlap(self, one: Located[_Written], other: Located[_Written], *, same: bool) -> None:
        name, first = one.node.name, other.node.name
        self._warn(
            "P1038",
            f"`{name.text}` has the path of `{first.text}`"
            if same
            else f"`{name.text}` stands within `{first.text}`",
            one.label(name.span),
            "declare it once, and read it under one name"
            if same
            else f"`{first.text}` is no object of members by its type, so one of the two is always "
            "missing or ill-typed",
            (other.label(first.span, "this one"),),
        )

    def _warn(
        self, code: str, headline: str, label: Label, help: str, secondary: tuple[Label, ...] = ()
    ) -> None:
        self._report(
            Diagnostic(code, headline, label, secondary, help=help, severity=Severity.WARNING)
        )


#: Of claims on one path so many are compared: all but the first are reported anyway.
_COMPARED = 8
