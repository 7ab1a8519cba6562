"""References to facts: `token.org_id`, `userinfo.email`, `resource.id`, `context.ip`, `now`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from policyd.diagnostics import Edit, Label, Span
from policyd.language import nodes, policy
from policyd.language.reporter import Reporter, renamed
from policyd.language.symbols import Symbols
from policyd.language.types import NOW, RESOURCE_ID, TOKEN_FACTS, Fact

_ROOTS = ("token", "userinfo", "resource", "context", "now")
_FACTS = "facts are `token.…`, `userinfo.…`, `resource.…`, `context.…` and `now`"
#: Claims that people expect without declaring them (OpenID Connect Core, section 5.1).
_COMMON_CLAIMS = {
    "email": "string", "email_verified": "bool", "name": "string", "roles": "set<string>",
    "groups": "set<string>", "org_id": "string", "tenant": "string", "azp": "string",
}  # fmt: skip
_ALIASES = {"scope": "scopes", "azp": "client", "client_id": "client", "aud": "audience",
            "iat": "issued_at", "exp": "expires_at", "act": "actor", "issuer": "iss"}  # fmt: skip


class FactReader:
    """Resolves references to facts on one resource, and reports the references that name none.

    `of` is the list whose elements `item` stands for.
    """

    def __init__(
        self, symbols: Symbols, reporter: Reporter,
        resource: policy.ResourceType | None, user: Label | None, of: Fact | None = None,
    ) -> None:  # fmt: skip
        self._symbols = symbols
        self._reporter = reporter
        self._resource = resource
        self._user = user
        self._list = of

    def read(self, reference: nodes.Reference) -> Fact | None:
        """Return the fact; if there is none, report that and return `None`."""
        root, dot, name = reference.text.partition(".")
        if not dot:
            if root == "now":
                return NOW
            self._no_value(reference)
            return None
        match root:
            case "token":
                return self._token(reference, name)
            case "userinfo":
                return self._userinfo(reference, name)
            case "resource":
                return self._attribute(reference, name)
            case "context":
                return self._context(reference, name)
            case "item":
                return self._item(reference, name)
        if root not in self._symbols.broken:
            near = self._symbols.closest(root, _ROOTS)
            meant = near is not None and near != "now"
            start = reference.span.start
            self._reporter.error(
                "P1008",
                f"unknown root `{root}`",
                reference.span,
                help=f"did you mean `{near}.{name}`?" if meant else _FACTS,
                fix=(Edit(Span(start, start + len(root)), near),) if near and meant else (),
            )
        return None

    def _token(self, reference: nodes.Reference, name: str) -> Fact | None:
        found = TOKEN_FACTS.get(name)
        if found is not None:
            return found
        claim = self._symbols.claims.get(name)
        if claim is not None:
            return claim.fact
        if name not in self._symbols.broken:
            near = _ALIASES.get(name)
            help = None if near is None else f"the name here is `token.{near}`"
            self._unknown_claim(
                "claim", reference, name, chain(TOKEN_FACTS, self._symbols.claims), near, help
            )
        return None

    def _userinfo(self, reference: nodes.Reference, name: str) -> Fact | None:
        claim = self._symbols.userinfo.get(name)
        if claim is not None:
            return claim.fact
        if name not in self._symbols.broken:
            help = "the name here is `token.sub`" if name == "sub" else None
            self._unknown_claim("userinfo", reference, name, self._symbols.userinfo, None, help)
        return None

    def _unknown_claim(
        self, section: str, reference: nodes.Reference, name: str, known: Iterable[str],
        near: str | None, help: str | None,
    ) -> None:  # fmt: skip
        """Report a claim that is not declared; `near` and `help` say what was meant, if known."""
        root = reference.text.partition(".")[0]
        if help is None and "." not in name:
            near = self._symbols.closest(name, known)
            help = None if near is None else f"a similar claim exists: `{root}.{near}`"
        self._reporter.error(
            "P1004",
            f"unknown {'claim' if section == 'claim' else 'userinfo claim'} `{name}`",
            reference.span,
            help=help or _to_declare(section, root, name),
            fix=self._replaced(reference, name, near),
        )

    def _replaced(
        self, reference: nodes.Reference, name: str, near: str | None
    ) -> tuple[Edit, ...]:
        return renamed(self._reporter.label(reference.span), name, near)

    def _attribute(self, reference: nodes.Reference, name: str) -> Fact | None:
        if name == RESOURCE_ID.name:
            return RESOURCE_ID
        if self._resource is None:  # the rule's resource is unknown, which was said already
            return None
        attribute = self._symbols.attribute(self._resource, name)
        if attribute is not None:
            return attribute
        self._unknown(
            "P1005", "attribute", reference, name,
            chain(("id",), (one.fact.name for one in self._resource.attributes)),
            on=f" on resource `{self._resource.name}`",
            secondary=() if self._user is None else (self._user,),
            otherwise=f"declare it in `resource {self._resource.name} {{ … }}`",
        )  # fmt: skip
        return None

    def _context(self, reference: nodes.Reference, name: str) -> Fact | None:
        found = self._symbols.context.get(name)
        if found is not None:
            return found.fact
        self._unknown(
            "P1006", "context entry", reference, name, self._symbols.context,
            otherwise=f"declare it: `context {{ {name}: … }}`",
        )  # fmt: skip
        return None

    def _item(self, reference: nodes.Reference, name: str) -> Fact | None:
        if self._list is None:
            self._reporter.error(
                "P1029",
                f"`item` is an element of a list, and here is no list: `{reference.text}`",
                reference.span,
                help=f"`LIST has some ({reference.text} …)`",
            )
            return None
        fields = {field.fact.name: field.fact for field in self._list.record}
        if name not in fields and fields:
            self._unknown(
                "P1031", "field", reference, name, fields, on=f" of `{self._list.path}`",
                otherwise=f"declare it among the fields of `{self._list.path}`",
            )  # fmt: skip
        return fields.get(name)

    def _unknown(
        self, code: str, kind: str, reference: nodes.Reference, name: str, known: Iterable[str],
        *, otherwise: str, on: str = "", secondary: tuple[Label, ...] = (),
    ) -> None:  # fmt: skip
        self._symbols.report_unknown(
            self._reporter.add, code, kind, name,
            self._reporter.label(reference.span, "not declared"), known,
            on=on, secondary=secondary, otherwise=otherwise,
        )  # fmt: skip

    def _no_value(self, reference: nodes.Reference) -> None:
        name = reference.text
        if name in self._symbols.conditions:
            self._reporter.error(
                "P2006",
                f"`{name}` is a condition, not a value",
                reference.span,
                help="a condition stands alone, or with `not`, `and`, `or`",
            )
        elif name not in self._symbols.broken:
            self._reporter.error(
                "P1008",
                f"unknown name `{name}`",
                reference.span,
                help=self._bare_help(name) or f"write a text in quotes; {_FACTS}",
                fix=self._rooted(reference),
            )

    def unknown_condition(self, reference: nodes.Reference) -> None:
        """Report a bare name that no condition has."""
        name = reference.text
        if name in self._symbols.broken:
            return
        near = self._symbols.closest(name, self._symbols.conditions)
        fix: tuple[Edit, ...] = ()
        if near is not None:
            help = f"a similar condition exists: `{near}`"
            fix = renamed(self._reporter.label(reference.span), name, near)
        elif name in self._symbols.scopes:
            help = f"did you mean `scope {name}`?"
            start = reference.span.start
            fix = (Edit(Span(start, start), "scope "),)
        else:
            help = self._bare_help(name) or f"define it: `define {name} as …`"
            fix = self._rooted(reference)
        self._reporter.error(
            "P1007", f"unknown condition `{name}`", reference.span, help=help, fix=fix
        )

    def _bare_help(self, name: str) -> str | None:
        root = next(self._roots_of(name), None)
        return None if root is None else f"did you mean `{root}.{name}`?"

    def _rooted(self, reference: nodes.Reference) -> tuple[Edit, ...]:
        """Return the edit that puts its root before a bare name, if one fact alone has the name."""
        roots = tuple(self._roots_of(reference.text))
        start = reference.span.start
        return (Edit(Span(start, start), f"{roots[0]}."),) if len(roots) == 1 else ()

    def _roots_of(self, name: str) -> Iterator[str]:
        """Yield what stands before the facts of this name."""
        symbols, resource = self._symbols, self._resource
        if name in symbols.claims or name in TOKEN_FACTS:
            yield "token"
        if name in symbols.userinfo:
            yield "userinfo"
        if resource is not None and (
            name == RESOURCE_ID.name or symbols.attribute(resource, name) is not None
        ):
            yield "resource"
        if name in symbols.context:
            yield "context"


def _to_declare(section: str, root: str, name: str) -> str:
    """Say how to declare a claim, which may be a path of names within objects."""
    first, dot, rest = name.partition(".")
    if dot:
        path = "/".join(["", first, *rest.split(".")])
        short = rest.rsplit(".", 1)[-1]
        return (
            f'declare the nested claim: `{section} {short}: … from "{path}"`, '
            f"and read `{root}.{short}`"
        )
    return f"declare it: `{section} {name}: {_COMMON_CLAIMS.get(name, 'string')}?`"
