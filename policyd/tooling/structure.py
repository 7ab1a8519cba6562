"""What is written in another way in two policy sets, whatever it means: declarations and rules.

Input: two policy sets. Output: what each declares or rules that the other does not, and what both
have under one name with another text; of a declaration, also the rules that read it.

Each set is laid out as parts under names, and the parts are compared. So a part that is added,
removed or changed is found in one way, of whatever kind it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Final, get_args
from typing import Literal as OneOf

import msgspec

from policyd.language.policy import (
    Api,
    Attribute,
    ClaimDeclaration,
    Granted,
    NamedCondition,
    PolicySet,
    Rule,
    Segment,
)
from policyd.language.types import Fact, Origin
from policyd.language.walks import facts, walk

Kind = OneOf[
    "API",
    "audience",
    "scope",
    "claim",
    "userinfo",
    "vocabulary",
    "context",
    "resource",
    "action",
    "attribute",
    "route",
    "condition",
    "rule",
    "promise",
]
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: Those that people write as text of several lines.
_WRITTEN: Final = frozenset({"condition", "rule", "promise"})
#: How many names a sentence lists, and how many lines of a text it shows.
_LISTED, _LINES = 8, 40


class Part(msgspec.Struct, frozen=True):
    """The name of a part: its API, its kind, the resource that it belongs to, and its own name."""

    api: str
    kind: Kind
    name: str
    of: str = ""


class StructuralChange(msgspec.Struct, frozen=True):
    """What became of a part; the texts are empty where it is not there. `rules` read it."""

    part: Part
    change: OneOf["added", "removed", "changed"]
    before: str = ""
    after: str = ""
    rules: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Say it in one line."""
        part = self.part
        what = f"{part.kind} of `{part.of}`" if part.of else part.kind
        name = (
            f"{what} `{part.name}`" if part.kind == "API" else (f"{part.api}: {what} `{part.name}`")
        )
        return f"{name} {self._said()}{self._read()}"

    def _said(self) -> str:
        if self.change != "changed":
            return "is new" if self.change == "added" else "is gone"
        if self.part.kind in _WRITTEN:
            return "is written in another way"
        if self.part.kind == "vocabulary":
            before, after = set(self.before.split(", ")), set(self.after.split(", "))
            gained, lost = _names(after - before), _names(before - after)
            return " and ".join(
                f"{verb} {which}" for verb, which in (("gains", gained), ("loses", lost)) if which
            )
        return f"was `{self.before}`, is `{self.after}`"

    def _read(self) -> str:
        return f" (read by {_names(self.rules)})" if self.rules else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of a text that are gone, after `- `, and new, after `+ `."""
        if self.change != "changed" or self.part.kind not in _WRITTEN:
            return ()
        found = list(_changed_lines(self.before, self.after))
        more = len(found) - _LINES
        return (*found[:_LINES], f"  and {more} lines more") if more > 0 else tuple(found)


def structural_changes(old: PolicySet, new: PolicySet) -> tuple[StructuralChange, ...]:
    """Compare two policy sets, API by API, kind by kind, name by name."""
    return tuple(_changes(old, new))


def _changes(old: PolicySet, new: PolicySet) -> Iterator[StructuralChange]:
    for name in sorted(old.apis.keys() ^ new.apis.keys()):
        yield StructuralChange(Part(name, "API", name), "added" if name in new.apis else "removed")
    for name in sorted(old.apis.keys() & new.apis.keys()):
        before, after = _Layout(old.apis[name]), _Layout(new.apis[name])
        # Both are in the order of kinds; a part of the new one alone comes after those of its kind.
        order = {part: number for number, part in enumerate((*before.parts, *after.parts))}
        kinds = {kind: number for number, kind in enumerate(_KINDS)}
        for part in sorted(order, key=lambda one: (kinds[one.kind], order[one])):
            was, is_ = before.parts.get(part), after.parts.get(part)
            if _words(was) != _words(is_):
                yield _change(part, was, is_, before, after)


def _words(text: str | None) -> list[str] | None:
    """Return what a text says, whatever its white space is."""
    return None if text is None else text.split()


def _change(
    part: Part, was: str | None, is_: str | None, before: _Layout, after: _Layout
) -> StructuralChange:
    if was is None:
        return StructuralChange(part, "added", after=is_ or "")
    if is_ is None:
        return StructuralChange(part, "removed", before=was)
    readers = before.readers.get(part, set()) | after.readers.get(part, set())
    return StructuralChange(part, "changed", was, is_, tuple(sorted(readers)))


class _Layout:
    """An API as parts, each with its text, and with the rules that read it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.parts: Mapping[Part, str] = dict(self._all())
        self.readers: dict[Part, set[str]] = {}
        for rule in api.rules:
            for part in self._read_by(rule):
                self.readers.setdefault(part, set()).add(rule.name)

    def _part(self, kind: Kind, name: str, of: str = "") -> Part:
        return Part(self._api.name, kind, name, of)

    def _all(self) -> Iterator[tuple[Part, str]]:
        api, part = self._api, self._part
        yield from ((part("audience", one), "") for one in api.audiences)
        for scope in api.scopes.values():
            includes = f" includes {', '.join(scope.includes)}" if scope.includes else ""
            yield part("scope", scope.name), f'"{scope.description}"{includes}'
        yield from ((part("claim", name), _claim(one)) for name, one in api.claims.items())
        yield from ((part("userinfo", name), _claim(one)) for name, one in api.userinfo.items())
        for name, vocabulary in api.vocabularies.items():
            yield part("vocabulary", name), ", ".join(sorted(vocabulary.values))
        yield from ((part("context", one.fact.name), _attribute(one)) for one in api.context)
        for name, resource in api.resources.items():
            yield part("resource", name), ""
            yield from ((part("action", one, name), "") for one in resource.actions)
            for attribute in resource.attributes:
                yield part("attribute", attribute.fact.name, name), _attribute(attribute)
        for route in api.routes:
            fills = ", ".join(_filled(one) for one in route.segments if not isinstance(one, str))
            target = f"{route.action} on {route.resource}{f' with {fills}' if fills else ''}"
            yield part("route", f"{route.method} {route.template}"), target
        for rule in (*api.rules, *api.proofs):
            yield from self._conditions(rule)
        yield from ((part("rule", one.name), _text(one)) for one in api.rules)
        yield from ((part("promise", one.name), _text(one)) for one in api.proofs)

    def _conditions(self, rule: Rule) -> Iterator[tuple[Part, str]]:
        for one in walk(rule.formula):
            if isinstance(one, NamedCondition):
                text = one.source.text[slice(*one.formula.span)]
                yield self._part("condition", one.name), text.strip()

    def _read_by(self, rule: Rule) -> Iterator[Part]:
        for fact in facts(rule.formula):
            yield from self._declaring(fact, rule.resource)
        for one in walk(rule.formula):
            if isinstance(one, Granted):
                yield self._part("scope", one.scope)
            elif isinstance(one, NamedCondition):
                yield self._part("condition", one.name)

    def _declaring(self, fact: Fact, resource: str) -> Iterator[Part]:
        if fact.vocabulary is not None:
            yield self._part("vocabulary", fact.vocabulary.name)
        match fact.origin:
            case Origin.CLAIM:
                yield self._part("claim", fact.name)
            case Origin.USERINFO:
                yield self._part("userinfo", fact.name)
            case Origin.CONTEXT:
                yield self._part("context", fact.name)
            case Origin.RESOURCE:
                yield self._part("attribute", fact.name, resource)
            case Origin.TOKEN | Origin.CLOCK | Origin.ITEM:
                pass


def _claim(one: ClaimDeclaration) -> str:
    of = f" of {one.issuer}" if one.issuer is not None else ""
    return f"{_type(one)}{_way(one)}{of}"


def _attribute(one: Attribute) -> str:
    limited = f" for {', '.join(one.actions)}" if one.actions else ""
    return f"{_type(one)}{_way(one)}{limited}"


def _type(one: ClaimDeclaration | Attribute) -> str:
    fact = one.fact
    fields = ", ".join(
        f"{field.fact.name}: {field.fact.type_name}{'?' if field.optional else ''}"
        for field in fact.record
    )
    within = f" {{ {fields} }}" if fields else ""
    return f"{fact.type_name}{within}{'?' if one.optional else ''}"


def _way(one: ClaimDeclaration | Attribute) -> str:
    return "" if one.path == (one.fact.name,) else f' from "/{"/".join(one.path)}"'


def _filled(one: Segment) -> str:
    return "" if isinstance(one, str) else f"{{{one.name}}} as {one.fact.path}"


def _text(rule: Rule) -> str:
    return "\n".join(
        line.rstrip() for line in rule.source.text[slice(*rule.span)].strip().splitlines()
    )


def _changed_lines(before: str, after: str) -> Iterator[str]:
    old, new = before.splitlines(), after.splitlines()
    for what, start, end, from_, to in SequenceMatcher(None, old, new).get_opcodes():
        if what != "equal":
            yield from (f"- {line.strip()}" for line in old[start:end])
            yield from (f"+ {line.strip()}" for line in new[from_:to])


def _names(names: Iterable[str]) -> str:
    listed = [f"`{name}`" for name in sorted(names)]
    if len(listed) > _LISTED:
        listed = [*listed[:_LISTED], f"{len(listed) - _LISTED} more"]
    return (
        " and ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
    )
