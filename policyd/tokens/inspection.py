"""Every step of the pipeline judged over one token, for `policyd token inspect`.

Where serving stops at the first step that fails, inspecting goes on with every step that can still
run, so that one look shows all that is wrong. The first failure is the one that serving would name.
Nothing is asked of anybody; without issuers only what the bytes themselves show can be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.claims.kinds import check_kind
from policyd.tokens.details import escaped
from policyd.tokens.introspection_pipeline import introspecting_issuer
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.pipeline import PIPELINE, Step
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import IdTokenRefused, TokenEncrypted, TokenRefused
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, Revocations
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.steps import Candidate, facts_if_readable
from policyd.tokens.trust import Issuer, Trust
from policyd.tokens.validator import DEFAULT_TOKEN_BYTES

Verdict = Literal["passed", "failed", "skipped"]
#: What the text is: a JWS, a JWE, a text without dots, or none of these.
Form = Literal["signed", "encrypted", "opaque", "unreadable"]

# What each step asks, in the words of someone who wonders why a token is refused.
QUESTIONS: Final[Mapping[str, str]] = {
    "segments": "three segments, not too long",
    "base64url": "canonical base64url",
    "header": "a strict JOSE header",
    "payload": "one strict JSON object",
    "issuer": "from a configured issuer",
    "api": "the issuer may speak for the API",
    "algorithm": "an algorithm that the issuer may use",
    "key": "a key of that issuer",
    "signature": "signed by that key",
    "kind": "an access token",
    "time": "valid now",
    "audience": "issued for the API",
    "facts": "claims as the dialect writes them",
    "binding": "proof of the sender, where it is bound to one",
    "revocation": "not revoked",
}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_SEGMENTS: Final = 2


class StepReport(msgspec.Struct, frozen=True):
    """How one step judged the token. `reason` is set when it failed, `text` unless it passed."""

    name: str
    question: str
    verdict: Verdict
    text: str = ""
    reason: str | None = None


class Inspection(msgspec.Struct, frozen=True):
    """All that can be said of a token, at `now` in seconds since the epoch.

    `header` and `claims` are `None` where they cannot be read. `issuer` and `dialect` are the
    configured ones that its `iss` names; `could_be` are the dialects of which it could be an access
    token, `suggested` those of them that the issuer's `dialect` should be where it is wrong.
    `audience` are the APIs' audiences that it names. `facts` are what the dialect reads in it,
    though it be refused: they are proven when `is_signed`, and mere words of its bearer else.

    `token` is set when every step passed; `reason` is what serving would answer otherwise, `None`
    also when steps were skipped and none failed.
    """

    steps: tuple[StepReport, ...]
    header: Mapping[str, Json] | None
    claims: Mapping[str, Json] | None
    token: VerifiedToken | None
    now: float
    form: Form = "signed"
    issuer: str | None = None
    dialect: str | None = None
    could_be: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    audience: frozenset[str] = frozenset()
    facts: VerifiedToken | None = None
    is_signed: bool = False

    @property
    def reason(self) -> str | None:
        return next(iter(self.reasons), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of all steps that failed, in their order."""
        return tuple(step.reason for step in self.steps if step.reason is not None)


class Surroundings(msgspec.Struct, frozen=True):
    """What a token is judged against, beside issuers and API, and what of it is not at hand.

    `without_keys` are issuers whose keys were not fetched, and why, by name; `doubts` are steps
    that can fail and cannot pass, since something that they should look at is out of reach, and
    what that is. `no_api` says why there is no API to judge for, where there is none.
    """

    max_token_bytes: int = DEFAULT_TOKEN_BYTES
    constraints: SenderConstraints | None = None
    revocations: Revocations = NOTHING_REVOKED
    proof: SenderProof = NO_PROOF
    without_keys: Mapping[str, str] = _NOTHING
    doubts: Mapping[str, str] = _NOTHING
    no_api: str = "no API is given"


def inspect(
    text: str,
    now: float,
    *,
    issuers: Iterable[Issuer] | None = None,
    api: ResourceServer | None = None,
    around: Surroundings | None = None,
) -> Inspection:
    """Judge a token by every step that can run. Without `issuers` or `api`, steps that need them
    are skipped. Raises nothing for any text.
    """
    around = around or Surroundings()
    trust = Trust(
        issuers={} if issuers is None else {one.settings.issuer: one for one in issuers},
        max_token_bytes=around.max_token_bytes,
        constraints=around.constraints or SenderConstraints(),
        revocations=around.revocations,
    )
    candidate = Candidate(text, api or ResourceServer("", frozenset()), now, trust, around.proof)
    impossible: dict[str, str] = {}
    if issuers is None:
        impossible["issuer"] = "no issuers are given: --config, or --jwks with --issuer, --dialect"
    if api is None:
        impossible |= dict.fromkeys(("api", "audience"), around.no_api)
    judge = _Judge(candidate, around, impossible)
    reports = tuple(judge.report(step) for step in PIPELINE)
    seen = Inspection(
        steps=reports,
        header=None,
        claims=getattr(candidate, "claims", None),
        token=None if judge.blocked else candidate.token,
        now=now,
        form=_form(text, reports[0]),
        audience=_audience(candidate),
        is_signed="signature" not in judge.blocked,
    )
    return _with_what_was_read(seen, candidate)


def _with_what_was_read(seen: Inspection, candidate: Candidate) -> Inspection:
    """Add what follows from the header, and from the issuer, where the steps came that far."""
    if not hasattr(candidate, "header"):
        return seen
    seen = msgspec.structs.replace(
        seen, header=candidate.header.parameters, could_be=tuple(_could_be(candidate, DIALECTS))
    )
    if not hasattr(candidate, "issuer"):
        return seen
    settings = candidate.issuer.settings
    could_be = tuple(_could_be(candidate, settings.dialects))
    return msgspec.structs.replace(
        seen,
        issuer=settings.issuer,
        dialect=settings.dialect,
        could_be=could_be,
        suggested=_suggested(could_be, settings, seen.steps),
        facts=facts_if_readable(candidate),
    )


def named_audience(text: str) -> frozenset[str]:
    """Return whom a token says that it is for, empty where it cannot be read. Nothing is proven."""
    try:
        payload = jws.decode_segment(jws.split(text).payload, "payload")
        value = jws.read_object(payload, "payload").get("aud")
    except TokenRefused:
        return frozenset()
    names = value if isinstance(value, list) else [value]
    return frozenset(name for name in names if isinstance(name, str))


class _Judge:
    """Runs steps on a candidate. `blocked` are those that did not pass, and which began it."""

    def __init__(
        self, candidate: Candidate, around: Surroundings, impossible: Mapping[str, str]
    ) -> None:
        self.blocked: dict[str, str] = {}
        self._candidate = candidate
        self._around = around
        self._impossible = impossible

    def report(self, step: Step) -> StepReport:
        verdict, text, reason = self._judge(step)
        if verdict != "passed":
            self.blocked[step.name] = self._root(step) or step.name
        return StepReport(step.name, QUESTIONS[step.name], verdict, text, reason)

    def _judge(self, step: Step) -> tuple[Verdict, str, str | None]:
        obstacle = self._impossible.get(step.name)
        root = self._root(step)
        if obstacle is None and root is not None:
            obstacle = f"cannot run without `{root}`"
        if obstacle is None:
            obstacle = self._out_of_reach(step.name)
        if obstacle is not None:
            return "skipped", obstacle, None
        try:
            step.run(self._candidate)
        except TokenRefused as refusal:
            return "failed", str(refusal), refusal.reason
        doubt = self._around.doubts.get(step.name)
        return ("passed", "", None) if doubt is None else ("skipped", doubt, None)

    def _root(self, step: Step) -> str | None:
        """Return the step whose not passing keeps this one from running, if there is one."""
        return next((self.blocked[name] for name in step.needs if name in self.blocked), None)

    def _out_of_reach(self, step: str) -> str | None:
        """Return what keeps a step from saying anything, though it could run."""
        candidate = self._candidate
        if step == "segments":
            asked = introspecting_issuer(candidate)
            if asked is not None:
                return (
                    "the token is opaque: only its issuer can tell what it holds. The daemon asks "
                    f"{escaped(asked.settings.issuer)} by introspection; this command does not"
                )
        if step == "key":
            return self._around.without_keys.get(candidate.issuer.settings.issuer)
        if step == "binding" and candidate.token.binding is not None:
            method, proof = candidate.token.binding.method, self._around.proof
            if method == "dpop" and not proof.dpop_proofs:
                return "it is bound to its sender's key (DPoP), and no proof is given: --dpop-proof"
            if method == "mtls" and not proof.client_certificate_sha256:
                return "it is bound to a certificate (mutual TLS), and none is given: --certificate"
        return None


def _form(text: str, segments: StepReport) -> Form:
    if segments.reason == TokenEncrypted.reason:
        return "encrypted"
    opaque = text and "." not in text and text.isascii() and text.isprintable()
    if opaque and " " not in text:
        return "opaque"
    return "signed" if text.count(".") == _SEGMENTS else "unreadable"


def _audience(candidate: Candidate) -> frozenset[str]:
    """Return the audiences that APIs can have and the token names."""
    if hasattr(candidate, "audience"):
        return candidate.audience.apis
    return named_audience(candidate.text)


def _could_be(candidate: Candidate, dialects: Mapping[str, Dialect]) -> Iterator[str]:
    """Yield the dialects of which it could be an access token; none where it has no claims."""
    if not hasattr(candidate, "claims"):
        return
    for name, row in dialects.items():
        try:
            check_kind(row, candidate.header, candidate.claims)
        except TokenRefused:
            continue
        yield name


def _suggested(
    could_be: Iterable[str], settings: IssuerSettings, reports: Iterable[StepReport]
) -> tuple[str, ...]:
    """Return the dialects to configure instead. What looks like an ID token is taken for an access
    token on decisive marks alone."""
    (reason,) = (report.reason for report in reports if report.name == "kind")
    if reason is None:
        return ()
    rows = settings.dialects
    return tuple(
        name
        for name in could_be
        if reason != IdTokenRefused.reason or rows[name].decisive or rows[name].at_jwt
    )
