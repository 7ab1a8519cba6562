"""The inspection of a token as text or JSON. Neither holds the token or its signature.

Values of a token are escaped, so that a terminal shows them and does not obey them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

import msgspec

from policyd.diagnostics.catalogue import page
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.tokens.inspection import Inspection, StepReport
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tooling.declared_claims import DeclaredClaim, declared_lines

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
_TIMES = ("exp", "iat", "nbf", "auth_time", "updated_at")
_ADVICE = re.compile(r"^## What to do\n+(?P<text>[^\n]+)", re.MULTILINE)
_SENTENCE = re.compile(r"[^.]+(?:\.\S[^.]*)*\.(?:\s+|$)")
_THIS_VERB = "policyd token inspect"
_FORMS = {
    "encrypted": "an encrypted token (JWE): only its recipient can read it",
    "opaque": "an opaque token: only its issuer knows what it means",
    "unreadable": "none: neither three segments (JWS) nor five (JWE) nor one (opaque)",
}
#: Where the text of a step, and a value of the token, begin.
_STEP = 22
_VALUE = 14
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def inspection_text(
    inspection: Inspection,
    apis: Iterable[ResourceServer] = (),
    width: int = 80,
    declared: tuple[DeclaredClaim, ...] = (),
) -> str:
    """Return header, claims, what they mean, each step with its verdict, and the answer.

    `apis` are those that the token may be for, `declared` the claims of the one that it is for,
    as the token has them. Prose is broken at `width` columns, values never.
    """
    lines = [
        *_values("header", inspection.header, inspection.now),
        *_values("claims", inspection.claims, inspection.now),
        *_token(inspection),
        *_apis(inspection, apis),
        *declared_lines(declared),
        "steps",
    ]
    for _, group in groupby(inspection.steps, _together):
        lines += _steps(tuple(group), width)
    lines += _answer(inspection, width)
    return "".join(f"{line}\n" for line in lines)


def _together(step: StepReport) -> str:
    """Return what steps have in common that are told of at once: what keeps them from running."""
    return step.text if step.verdict == "skipped" else step.name


def _steps(steps: tuple[StepReport, ...], width: int) -> Iterator[str]:
    first = steps[0]
    mark = f"  {_MARKS[first.verdict]:<8} "
    if len(steps) == 1:
        yield f"{mark}{first.name:<10} {first.question}"
    else:
        names = _prose(", ".join(step.name for step in steps), len(mark), width)
        yield mark + names[0].strip()
        yield from names[1:]
    if first.text:
        reason = f"{first.reason}: " if first.reason else ""
        yield from _prose(f"{reason}{printable(first.text)}", _STEP, width)


def _token(inspection: Inspection) -> Iterator[str]:
    """Yield what the token names, as the issuer's dialect reads it."""
    if inspection.form in _FORMS:
        yield f"token: {_FORMS[inspection.form]}"
        return
    proven = "" if inspection.is_signed else ", as it says of itself: no signature was verified"
    yield f"token{proven}"
    if inspection.issuer is not None:
        yield _pair("issuer", f"{inspection.issuer}, whose dialect is {inspection.dialect}")
    if inspection.facts is not None:
        yield from _facts(inspection.facts, inspection.now)
    if inspection.claims is not None and inspection.dialect not in inspection.could_be:
        names = " or ".join(inspection.could_be)
        yield _pair("could be", f"an access token of {names}" if names else "no access token")


def _facts(token: VerifiedToken, now: float) -> Iterator[str]:
    kind = f" ({token.kind})" if token.kind else " (a user or an application: it does not tell)"
    yield _pair("subject", f"{token.subject or 'nobody'}{kind}")
    yield _pair("client", token.client or "none is named")
    yield _pair("audience", " ".join(sorted(token.audience)) or "none")
    yield _pair("scopes", " ".join(sorted(token.scopes)) or "none")
    if token.permissions:
        yield _pair("permissions", " ".join(sorted(token.permissions)))
    if token.actor is not None:
        yield _pair("actor", token.actor)
    if token.binding is not None:
        yield _pair("bound by", token.binding.method)
    yield _pair("expires", _moment(token.expires_at, now) or str(token.expires_at))


def _apis(inspection: Inspection, apis: Iterable[ResourceServer]) -> Iterator[str]:
    apis = tuple(apis)
    if not apis or inspection.claims is None:
        return
    yield "apis"
    for api in apis:
        shared = inspection.audience.intersection(api.audiences)
        names = " ".join(sorted(shared or api.audiences))
        yield _pair(api.name or "this one", f"{'yes' if shared else 'no'}, its audience is {names}")


def _answer(inspection: Inspection, width: int) -> Iterator[str]:
    indent = 9
    if inspection.token is not None:
        yield "answer   the token is valid"
        return
    reason, *further = inspection.reasons or ("",)
    if not reason:
        yield "answer   no step failed, but not every step could run"
        return
    yield f"answer   refused: {reason}"
    yield from _prose(_advice(inspection, reason), indent, width)
    others = [one for one in dict.fromkeys(further) if one != reason]
    if others:
        yield from _prose(f"Beside that: {', '.join(others)}.", indent, width)
    yield from _prose(f"More: policyd explain {reason}", indent, width)


def _advice(inspection: Inspection, reason: str) -> str:
    """Return what to do about a reason: what its page of the catalogue says."""
    found = _ADVICE.search(page(reason) or "")
    sentences = _SENTENCE.findall(found["text"]) if found else []
    advice = "".join(one for one in sentences if _THIS_VERB not in one).strip()
    if reason in ("TOKEN_TYPE", "ID_TOKEN") and inspection.suggested:
        names = " or ".join(inspection.suggested)
        return (
            f"It bears the marks of an access token of the dialect {names}, and its issuer is "
            f"configured as {inspection.dialect}: correct the issuer's `dialect`."
        )
    if inspection.form == "opaque":
        advice += (
            " Or have policyd ask the issuer (RFC 7662): `[issuers.introspection]` with a client "
            "registered there and its secret."
        )
    return advice.replace("*", "")  # an emphasis of Markdown


def _prose(text: str, indent: int, width: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text,
        max(width, indent + 30),
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pair(name: str, value: str) -> str:
    return printable(f"  {name:<{_VALUE - 3}} {value}")


def _values(title: str, values: Mapping[str, Json] | None, now: float) -> Iterator[str]:
    yield title
    if values is None:
        yield "  cannot be read"
        return
    for name, value in values.items():
        text = msgspec.json.encode(value).decode()
        moment = _moment(value, now) if name in _TIMES else ""
        yield printable(f"  {name}: {text}") + (f"  ({moment})" if moment else "")


def _moment(value: Json, now: float) -> str:
    """Return a time in words, such as `2026-11-22T10:00:00Z, 3 h ago`, empty if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    try:
        date = f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):  # a time that no calendar has
        return ""
    distance = abs(value - now)
    size, unit = next((pair for pair in _UNITS if distance >= pair[0]), _UNITS[-1])
    span = f"{int(distance // size)} {unit}"
    return f"{date}, {span} ago" if value <= now else f"{date}, in {span}"


def inspection_json(
    inspection: Inspection,
    apis: Sequence[ResourceServer] = (),
    declared: tuple[DeclaredClaim, ...] = (),
) -> bytes:
    """Return all that the text says as one JSON object."""
    facts = inspection.facts
    document: dict[str, object] = {
        "valid": inspection.token is not None,
        "reason": inspection.reason,
        "form": inspection.form,
        "header": inspection.header,
        "claims": inspection.claims,
        "issuer": inspection.issuer,
        "dialect": inspection.dialect,
        "could_be": inspection.could_be,
        "suggested": inspection.suggested,
        "is_signed": inspection.is_signed,
        "facts": None if facts is None else _json_facts(facts),
        "apis": [
            {"name": api.name, "is_meant": not inspection.audience.isdisjoint(api.audiences)}
            for api in apis
        ],
        "declared": declared,
        "steps": [_json_step(step) for step in inspection.steps],
    }
    return encode_json(document)


def _json_facts(token: VerifiedToken) -> dict[str, Json]:
    return {
        "subject": token.subject,
        "client": token.client,
        "kind": token.kind,
        "audience": [*sorted(token.audience)],
        "scopes": [*sorted(token.scopes)],
        "permissions": [*sorted(token.permissions)],
        "actor": token.actor,
        "binding": None if token.binding is None else token.binding.method,
        "expires_at": token.expires_at,
    }


def _json_step(step: StepReport) -> Mapping[str, str | None]:
    return {
        "name": step.name,
        "question": step.question,
        "verdict": step.verdict,
        "reason": step.reason,
        "text": step.text,
    }
