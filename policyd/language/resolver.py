"""Syntax trees of one API to a table of what they declare: the pass between parser and checker.

Input: the files of one API, in order of their names. Output: a `Symbols`: what a name stands for,
by kind. Nothing is looked up here; the checker does that, with the finished table. So the order of
declarations and of files never matters: a rule may use a claim that a later file declares.

A name lives in one of these scopes:

    the API         scopes, vocabularies, claims, userinfo claims, context entries, resources,
                    conditions, and rules, each kind for itself: a claim may be called as a
                    resource is
    one resource    its attributes and its actions

The pass walks the declarations once, and takes each into the table:

1. *Everything but rules*, a file at a time. Each name is held against the first of its scope and
   kind (`_is_new`): of two, the table keeps the first, and the second is reported with both places.
   A claim, an attribute or an entry becomes a `Fact`: origin, name and type are all that a formula
   will know of it. Vocabularies come before all others, since they are types. What has a wrong
   type stands as a string, so that its name is found by rules and nobody hears of it twice.
2. *Rules*, which are most of what there is. They are collected unread, by file, since the checker
   keeps what it made of a file that did not change.
3. *What no declaration shows alone*: that there is an audience, in one file and above all others;
   what scopes include (`inclusion`); which claims share a path; and the order of conditions, each
   after those it names (`nesting.order_conditions`), so that a circle is found before anybody
   walks it.

Names in declarations that did not parse are known as words (`Symbols.broken`): what is missing
because of a syntax error is not reported again as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import dirname

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Suggestions
from policyd.language import nodes, policy
from policyd.language.action_attributes import actions_of, no_actions
from policyd.language.declared_claims import DeclaredClaims
from policyd.language.declared_types import DeclaredTypes
from policyd.language.inclusion import inclusion
from policyd.language.nesting import order_conditions
from policyd.language.parser import Parsed
from policyd.language.reporter import Report
from policyd.language.symbols import Located, Symbols
from policyd.language.types import RESOURCE_ID, Fact, Origin, RecordField, Type

#: OpenID Connect Core 1.0, sections 3.1.2.1, 5.4 and 11: they say what goes into an ID token.
OIDC_SCOPES = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
#: RFC 6749, section 3.3: scope-token.
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def resolve(parsed: Sequence[Parsed], report: Report, suggestions: Suggestions) -> Symbols:
    """Collect the declarations of one API's files, which stand in order of their names."""
    files = [one.file for one in parsed if one.file is not None]
    broken = {word for one in parsed for word in one.broken_words}
    docs = next((file.docs for file in files if file.docs), ())
    symbols = Symbols(files[0].api.text, docs, files, broken, suggestions)
    _Resolver(symbols, report).resolve()
    return symbols


class _Resolver:
    def __init__(self, symbols: Symbols, report: Report) -> None:
        self._symbols = symbols
        self._report = report
        # By kind, name, and the identity of the node around it, if it counts in that alone.
        self._first: dict[tuple[str, str, int], tuple[nodes.Name, Source]] = {}
        self._scopes: dict[str, Located[nodes.Scope]] = {}
        self._types = DeclaredTypes(symbols, report, self._is_new)
        self._claims = DeclaredClaims(symbols, report, self._is_new, self._types, self._record)

    def resolve(self) -> None:
        self._types.collect()
        for file in self._symbols.files:
            for declaration in file.surroundings:
                self._declare(declaration, file.source)
        self._symbols.inclusion = inclusion(self._symbols, self._scopes, self._report)
        self._claims.check_paths()
        self._rules()
        self._check_audiences()
        order_conditions(self._symbols, self._report)

    def _declare(self, declaration: nodes.Declaration, source: Source) -> None:
        symbols = self._symbols
        match declaration:
            case nodes.Audience():
                symbols.audiences.append(Located(declaration, source))
            case nodes.Scope(name=name):
                self._check_scope(name, source)
                if self._is_new("scope", name, source):
                    self._scopes[name.text] = Located(declaration, source)
                    text = declaration.description.value if declaration.description else ""
                    symbols.scopes[name.text] = policy.ScopeDeclaration(
                        name.text,
                        text,
                        declaration.docs,
                        tuple(one.text for one in declaration.includes),
                        tuple(Label(source, one.span) for one in declaration.includes),
                    )
            case nodes.Claim() | nodes.Userinfo():
                self._claims.declare(declaration, source)
            case nodes.Context():
                for field in declaration.fields:
                    self._no_actions(field, source)
                    if self._is_new("context entry", field.name, source):
                        symbols.context[field.name.text] = self._attribute(
                            field, Origin.CONTEXT, source
                        )
            case nodes.Resource(name=name):
                resource = self._resource(declaration, source)
                if self._is_new("resource", name, source):
                    symbols.resources[name.text] = resource
            case nodes.Define(name=name):
                if name.text == "now":
                    self._report(
                        Diagnostic("P1010", "`now` is the clock", Label(source, name.span))
                    )
                elif self._is_new("condition", name, source):
                    symbols.conditions[name.text] = Located(declaration, source)
            case nodes.Route():
                symbols.routes.append(Located(declaration, source))

    def _rules(self) -> None:
        """Collect the rules. They are most of what there is, so each takes few steps."""
        firsts: dict[str, tuple[nodes.Name, Source]] = {}
        for file in self._symbols.files:
            kept = []
            for rule in file.rules:
                here = (rule.name, file.source)
                first = firsts.setdefault(rule.name.text, here)
                if first is here:
                    kept.append(rule)
                else:
                    self._twice("rule", here, first)
            self._symbols.rules.append((file, kept))

    def _is_new(
        self, kind: str, name: nodes.Name, source: Source, *, owner: nodes.Node | None = None
    ) -> bool:
        here = (name, source)
        first = self._first.setdefault((kind, name.text, id(owner)), here)
        if first is not here:
            self._twice(kind, here, first)
        return first is here

    def _twice(
        self, kind: str, here: tuple[nodes.Name, Source], first: tuple[nodes.Name, Source]
    ) -> None:
        is_rule = kind == "rule"
        self._report(
            Diagnostic(
                "P1011" if is_rule else "P1010",
                f"{kind} `{here[0].text}` is declared twice",
                Label(here[1], here[0].span, "declared again"),
                secondary=(Label(first[1], first[0].span, "declared here"),),
                help="rules are identified by name; rename one of them"
                if is_rule
                else "remove one of the two",
            )
        )

    # -- audiences -------------------------------------------------------------------------

    def _check_audiences(self) -> None:
        audiences = self._symbols.audiences
        if not audiences:
            if "audience" in self._symbols.broken:
                return
            file = self._symbols.files[0]
            self._report(
                Diagnostic(
                    "P1016",
                    f"API `{self._symbols.api}` has no audience",
                    Label(file.source, file.api.span),
                    help='declare the value that its tokens have in `aud`: `audience "https://…"`',
                )
            )
            return
        home = audiences[0]
        values: dict[str, Located[nodes.Audience]] = {}
        for one in audiences:
            if one.source is not home.source:
                self._report(
                    Diagnostic(
                        "P1015",
                        f"the audience of API `{self._symbols.api}` is declared in two files",
                        one.label(one.node.span, "also here"),
                        secondary=(home.label(home.node.span, "declared here"),),
                        help="declare all audiences of an API in one file",
                    )
                )
            self._check_audience(one, values)
        folder = dirname(home.source.name)
        for file in self._symbols.files:
            own = dirname(file.source.name)
            if own != folder and folder and not own.startswith(folder + "/"):
                self._report(
                    Diagnostic(
                        "P1019",
                        f"the file is outside the folder of API `{self._symbols.api}`",
                        Label(file.source, file.api.span),
                        secondary=(home.label(home.node.span, "the audience is declared here"),),
                        help=f"move the file under `{folder}/`, so that only people who may change "
                        "that folder decide what the API allows",
                    )
                )

    def _check_audience(
        self, one: Located[nodes.Audience], values: dict[str, Located[nodes.Audience]]
    ) -> None:
        value = one.node.value.value
        label = one.label(one.node.value.span)
        first = values.setdefault(value, one)
        if first is not one:
            self._report(
                Diagnostic(
                    "P1024",
                    f'audience "{value}" is listed twice',
                    label,
                    secondary=(first.label(first.node.value.span, "listed here"),),
                    help="remove one of the two",
                )
            )
        if not value or value != value.strip():
            self._report(
                Diagnostic("P1020", "an audience is a text without spaces around it", label)
            )
        elif value == "account" or value.rstrip("/").endswith("/userinfo"):
            self._report(
                Diagnostic(
                    "P1020",
                    f'"{value}" is never the audience of an API',
                    label,
                    help="many issuers put it into every token; use the API's own identifier",
                )
            )

    # -- scopes, claims, resources -----------------------------------------------------------

    def _check_scope(self, name: nodes.Name, source: Source) -> None:
        label = Label(source, name.span)
        if name.text in OIDC_SCOPES:
            self._report(oidc_scope(name.text, label))
        elif not _SCOPE_TOKEN.fullmatch(name.text):
            self._report(
                Diagnostic(
                    "P1021",
                    f'"{name.text}" is not a scope',
                    label,
                    help='a scope is printable ASCII without spaces, `"` and `\\` '
                    "(RFC 6749, section 3.3)",
                )
            )

    def _resource(self, node: nodes.Resource, source: Source) -> policy.ResourceType:
        attributes: dict[str, policy.Attribute] = {}
        owner = node.name.text
        for field in node.fields:
            if field.name.text == RESOURCE_ID.name:
                self._report(
                    Diagnostic(
                        "P1023",
                        "every resource has `resource.id`",
                        Label(source, field.name.span),
                        help="remove the attribute: the request carries the id on its own",
                    )
                )
            elif self._is_new("attribute", field.name, source, owner=node):
                attributes[field.name.text] = msgspec.structs.replace(
                    self._attribute(field, Origin.RESOURCE, source),
                    actions=actions_of(field, node, self._symbols, source, self._report),
                )
        seen: set[str] = set()
        for action in node.actions:
            if action.text in seen:
                self._report(
                    Diagnostic(
                        "P1024",
                        f"action `{action.text}` of `{owner}` is listed twice",
                        Label(source, action.span),
                        help="remove one of the two",
                    )
                )
            seen.add(action.text)
        return policy.ResourceType(
            owner, tuple(attributes.values()), tuple(sorted(seen)), node.docs
        )

    def _record(
        self, node: nodes.Claim | nodes.Userinfo | nodes.Field, type_: Type, source: Source
    ) -> tuple[RecordField, ...]:
        """Return what the elements of a list have; of any other type, nothing."""
        fields = () if node.record is None else node.record.fields
        if (type_ is Type.LIST) != bool(fields):
            self._report(
                Diagnostic(
                    "P2017",
                    f"the list `{node.name.text}` has no fields"
                    if type_ is Type.LIST
                    else f"`{node.name.text}` is no list, and has fields",
                    Label(source, node.type.span if node.record is None else node.record.span),
                    help="say what its elements have, as in "
                    f"`{node.name.text}: list? {{ kind: string }}`; a list of texts is a "
                    "`set<string>`",
                )
            )
            return ()
        found: list[RecordField] = []
        keys = 0
        for field in fields:
            if not self._is_new("field", field.name, source, owner=node):
                continue
            made = self._record_field(field, source)
            keys += made.path is None
            if made.path is None and (keys > 1 or made.fact.type is not Type.STRING):
                self._bad_key(field, source)
            found.append(made)
        return tuple(found)

    def _record_field(self, field: nodes.Field, source: Source) -> RecordField:
        type_, vocabulary = self._types.read(field.type, source)
        if type_ is Type.LIST or field.record is not None:
            self._report(
                Diagnostic(
                    "P2017",
                    f"`{field.name.text}` is a list within a list",
                    Label(source, field.span),
                    help="the elements of a list have values and sets; read what is deeper with "
                    '`(from "/…")`',
                )
            )
            type_, vocabulary = Type.STRING, None
        fact = Fact(Origin.ITEM, field.name.text, type_, vocabulary)
        self._no_actions(field, source)
        if field.from_key:
            return RecordField(fact, None, field.type.optional)
        path = (fact.name,) if field.path is None else self._claims.path(field.path, source)
        return RecordField(fact, path, field.type.optional)

    def _bad_key(self, field: nodes.Field, source: Source) -> None:
        self._report(
            Diagnostic(
                "P2019",
                f"`{field.name.text}` cannot be read from a key",
                Label(source, field.span),
                help="`(from key)` stands once among the fields of a list, and is a `string`: the "
                "name under which an element stands in an object",
            )
        )

    def _no_actions(self, field: nodes.Field, source: Source) -> None:
        if field.actions:
            self._report(no_actions(field, source))

    def _attribute(self, field: nodes.Field, origin: Origin, source: Source) -> policy.Attribute:
        type_, vocabulary = self._types.read(field.type, source)
        record = self._record(field, type_, source)
        fact = Fact(origin, field.name.text, type_, vocabulary, record)
        if field.from_key:
            self._bad_key(field, source)
        path = (fact.name,) if field.path is None else self._claims.path(field.path, source)
        return policy.Attribute(fact, field.type.optional, field.docs, path)


def oidc_scope(name: str, label: Label) -> Diagnostic:
    """The finding about `openid` and its like."""
    return Diagnostic(
        "P1014",
        f"`{name}` is an OpenID Connect scope, not a permission",
        label,
        help="it says what goes into an ID token; define a scope of the API itself",
    )
