"""A policy set to begin with, and its tests, as text.

Input: what an API has: scopes, resources, and for each action the HTTP request and the scopes
that it asks for. Output: text in its canonical layout that loads, and whose tests hold. What the
linter would say of it stands beside it with a reason: the names are somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from policyd.diagnostics import Diagnostic, Source, has_errors
from policyd.diagnostics.json_text import encode_json
from policyd.errors import InternalError
from policyd.json_types import Json
from policyd.language import load, load_tests
from policyd.language.formatter import format_source
from policyd.tokens.claims.writing import AccessToken, write
from policyd.tooling.lint import DEFAULT, lint
from policyd.tooling.runner import run_tests

#: Scopes that stand in a policy without quotes.
_PLAIN_SCOPE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:[:.][A-Za-z_][A-Za-z0-9_-]*)*")
#: Claims that a test gets valid values for by itself.
_ASSUMED = ("iss", "aud", "iat", "exp")

Alternatives = tuple[tuple[str, ...], ...]


class Action(msgspec.Struct, frozen=True):
    """An action, the requests that ask for it, and the scopes that it takes.

    `scopes` are alternatives, each of scopes that are all needed; an empty one is met by any token.
    `requests` are pairs of method and template.
    """

    name: str
    requests: tuple[tuple[str, str], ...]
    scopes: Alternatives


class Resource(msgspec.Struct, frozen=True):
    """A resource type. Its `attributes` are texts that paths fill; `item` if it has an id."""

    name: str
    doc: str
    attributes: tuple[str, ...]
    actions: tuple[Action, ...]
    item: bool


class Skeleton(msgspec.Struct, frozen=True):
    """An API; `scopes` maps names to descriptions. `reason` says where names come from."""

    api: str
    doc: str
    audience: str
    scopes: Mapping[str, str]
    resources: tuple[Resource, ...]
    reason: str


def text_of_policy(skeleton: Skeleton) -> str:
    """Return the policy file."""
    lines = [f"/// {_sentence(skeleton.doc)}", f"api {skeleton.api}", ""]
    lines += [
        "// What your issuer puts into `aud` for this API.",
        f"audience {_text(skeleton.audience)}",
        "",
    ]
    lines += (
        f"scope {_scope(name)} {_text(said or name)}" for name, said in skeleton.scopes.items()
    )
    for resource in skeleton.resources:
        lines += ["", *_resource(resource)]
    for resource in skeleton.resources:
        for action in resource.actions:
            lines += ["", *_rule(action, resource)]
    requests = [
        (method, template, action.name, resource.name)
        for resource in skeleton.resources
        for action in resource.actions
        for method, template in action.requests
    ]
    if requests:
        lines.append("")
    lines += (
        f"route {method} {_text(template)} as {action} on {resource}"
        for method, template, action, resource in requests
    )
    return _suppressed(_formatted(f"{skeleton.api}.policy", lines), skeleton.reason)


def text_of_tests(skeleton: Skeleton, dialect: str) -> str:
    """Return the test file. One test has a token as an issuer of `dialect` writes it."""
    lines = [f"api {skeleton.api}", ""]
    for resource in skeleton.resources:
        lines += [*_test(resource), ""]
    lines += _raw_test(skeleton, dialect)
    return _formatted(f"{skeleton.api}_test.policy", lines)


def problems(policy: str, tests: str) -> Sequence[Diagnostic]:
    """Return what `check`, `lint` and `test` say of the texts, which is nothing."""
    sources = [Source("new.policy", policy), Source("new_test.policy", tests)]
    loaded = load(sources[:1])
    if loaded.policies is None:
        return loaded.diagnostics
    cases = load_tests(sources[1:], loaded.policies)
    found = (*loaded.diagnostics, *cases.diagnostics)
    if has_errors(found):
        return found
    failed = run_tests(loaded.policies, cases.tests).failed
    if failed:
        raise InternalError(f"a new test does not hold: {failed[0].problems[0]}")
    return (*found, *lint(loaded.policies, sources, cases.tests, DEFAULT))


def _resource(resource: Resource) -> Iterator[str]:
    yield f"/// {_sentence(resource.doc)}"
    yield f"resource {resource.name} {{"
    yield from (f"{name}: string" for name in resource.attributes)
    if resource.attributes:
        yield ""
    yield f"actions {', '.join(action.name for action in resource.actions)}"
    yield "}"


def rule_name(action: Action, resource: Resource) -> str:
    """Return the name of the rule that allows an action."""
    return f"{action.name}-{resource.name}"


def _rule(action: Action, resource: Resource) -> Iterator[str]:
    yield f"allow {rule_name(action, resource)}: {action.name} on {resource.name}"
    yield f"    when {_condition(action.scopes)}"


def _condition(scopes: Alternatives) -> str:
    if () in scopes:
        return "true"
    several = [" and ".join(f"scope {_scope(one)}" for one in names) for names in scopes]
    if len(several) == 1:
        return several[0]
    return " or ".join(
        f"({text})" if len(names) > 1 else text for text, names in zip(several, scopes, strict=True)
    )


def _test(resource: Resource) -> Iterator[str]:
    thing = _thing(resource)
    yield f'test "{resource.name}: each action takes its scopes" {{'
    for action in resource.actions:
        for names in action.scopes:
            yield f"token {{ scope: [{', '.join(map(_scope, names))}] }}"
            yield f"allow {action.name} on {thing} by {rule_name(action, resource)}"
            other = next((one for one in resource.actions if not _met(one, names)), None)
            if other is not None:
                yield f"deny {other.name} on {thing} because INSUFFICIENT_SCOPE"
            yield from _one_less(action, names, thing)
        if () not in action.scopes:
            yield "token { scope: [] }"
            yield f"deny {action.name} on {thing} because INSUFFICIENT_SCOPE"
    yield "}"


def _one_less(action: Action, names: Sequence[str], thing: str) -> Iterator[str]:
    """Show of scopes that are needed together that each is needed."""
    for name in names if len(names) > 1 else ():
        rest = [one for one in names if one != name]
        if not _met(action, rest):
            yield f"token {{ scope: [{', '.join(map(_scope, rest))}] }}"
            yield f"deny {action.name} on {thing} because INSUFFICIENT_SCOPE"


def _met(action: Action, granted: Sequence[str]) -> bool:
    return any(set(names) <= set(granted) for names in action.scopes)


def _raw_test(skeleton: Skeleton, dialect: str) -> Iterator[str]:
    """Yield a test whose token is what the issuer would write, claim by claim."""
    resource = skeleton.resources[0]
    action = resource.actions[0]
    _, claims = write(
        dialect,
        AccessToken(
            issuer="https://issuer.example.com/",
            subject="auth0|ann" if dialect.startswith("auth0") else "ann",
            client="an-application",
            audiences=(skeleton.audience,),
            scopes=action.scopes[0],
            issued_at=0,
            expires_at=0,
            token_id="t-1",
        ),
    )
    written = ", ".join(
        f"{_key(name)}: {_json(value)}" for name, value in claims.items() if name not in _ASSUMED
    )
    yield "// Put the claims of a real token here: `policyd token inspect` shows them."
    yield f'test "a token as {dialect} writes it" {{'
    yield f"token from {dialect} {{ {written} }}"
    yield f"allow {action.name} on {_thing(resource)} by {rule_name(action, resource)}"
    yield "}"


def _thing(resource: Resource) -> str:
    filled = ", ".join(f'{name}: "1"' for name in resource.attributes)
    identifier = ' "1"' if resource.item else ""
    return f"{resource.name}{identifier}" + (f" {{ {filled} }}" if filled else "")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else _text(name)


def _json(value: Json) -> str:
    return encode_json(value).decode()


def _scope(name: str) -> str:
    return name if _PLAIN_SCOPE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """Return a text as a policy writes it; what a reviewer could not see is escaped."""
    escaped = "".join(
        {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}.get(
            character,
            character
            if character.isprintable() and (character == " " or not character.isspace())
            else f"\\u{{{ord(character):x}}}",
        )
        for character in text
    )
    return f'"{escaped}"'


def _sentence(text: str) -> str:
    """Return text of one line for a comment, without what a reviewer could not see."""
    words = "".join(one if one.isprintable() else " " for one in text).split()
    return " ".join(words)[:90] or "To be described."


def _formatted(name: str, lines: Iterable[str]) -> str:
    source = Source(name, "\n".join(_indented(lines)) + "\n")
    formatted = format_source(source)
    if formatted.text is None:
        said = "; ".join(found.headline for found in formatted.diagnostics)
        raise InternalError(f"a new policy cannot be formatted: {said}")
    return formatted.text


def _indented(lines: Iterable[str]) -> Iterator[str]:
    """Indent what stands in braces: only declarations begin in the first column."""
    inside = False
    for line in lines:
        inside = inside and line != "}"
        yield f"    {line}" if inside and line else line
        inside = inside or line.endswith("{")


def _suppressed(text: str, reason: str) -> str:
    """Say above each line that the linter reports that its words are not the author's."""
    source = Source("new.policy", text)
    loaded = load([source])
    if loaded.policies is None:
        said = "; ".join(found.headline for found in loaded.diagnostics)
        raise InternalError(f"a new policy does not load: {said}")
    codes: dict[int, set[str]] = {}
    for found in lint(loaded.policies, [source], None, DEFAULT):
        if found.primary is not None:
            line, _ = source.position(found.primary.span.start)
            codes.setdefault(line, set()).add(found.code)
    lines = text.splitlines()
    for number in sorted(codes, reverse=True):
        indent = " " * (len(lines[number - 1]) - len(lines[number - 1].lstrip()))
        comment = f"{indent}// lint: allow {', '.join(sorted(codes[number]))} ({reason})"
        lines.insert(number - 1, comment)
    return "\n".join(lines) + "\n"
