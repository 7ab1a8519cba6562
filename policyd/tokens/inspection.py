"""Every step of the pipeline judged over one token, for `policyd token inspect`.

Where serving stops at the first step that fails, inspecting goes on with every step that can still
run, so that one look shows all that is wrong. The first failure is the one that serving would name.
Works offline; without issuers only what the bytes themselves show can be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from policyd.tokens.binding import SenderConstraints
from policyd.tokens.model import Json, ResourceServer, VerifiedToken
from policyd.tokens.pipeline import PIPELINE, Candidate, Issuer, Step, Trust
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.validator import DEFAULT_TOKEN_BYTES

Verdict = Literal["passed", "failed", "skipped"]

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


class StepReport(msgspec.Struct, frozen=True):
    """How one step judged the token. `reason` is set when it failed, `text` unless it passed."""

    name: str
    question: str
    verdict: Verdict
    text: str = ""
    reason: str | None = None


class Inspection(msgspec.Struct, frozen=True):
    """All that can be said of a token. `header`, `claims` are `None` where they cannot be read.

    `token` is set when every step passed; `reason` is what serving would answer otherwise, `None`
    also when steps were skipped and none failed.
    """

    steps: tuple[StepReport, ...]
    header: Mapping[str, Json] | None
    claims: Mapping[str, Json] | None
    token: VerifiedToken | None

    @property
    def reason(self) -> str | None:
        return next((step.reason for step in self.steps if step.reason is not None), None)


def inspect(
    text: str,
    now: float,
    *,
    issuers: Iterable[Issuer] | None = None,
    api: ResourceServer | None = None,
    max_token_bytes: int = DEFAULT_TOKEN_BYTES,
) -> Inspection:
    """Judge a token by every step that can run. Without `issuers` or `api`, steps that need them
    are skipped. Raises nothing for any text.
    """
    known = {} if issuers is None else {issuer.settings.issuer: issuer for issuer in issuers}
    trust = Trust(issuers=known, max_token_bytes=max_token_bytes, constraints=SenderConstraints())
    candidate = Candidate(text, api or ResourceServer("", frozenset()), now, trust)
    unusable: dict[str, str] = {}
    if issuers is None:
        unusable["issuer"] = "no issuers are given"
    if api is None:
        unusable |= dict.fromkeys(("api", "audience"), "no API is given")
    reports: list[StepReport] = []
    blocked: set[str] = set()
    for step in PIPELINE:
        report = _judge(step, candidate, unusable.get(step.name), blocked)
        if report.verdict != "passed":
            blocked.add(step.name)
        reports.append(report)
    header = getattr(candidate, "header", None)
    return Inspection(
        steps=tuple(reports),
        header=None if header is None else header.parameters,
        claims=getattr(candidate, "claims", None),
        token=None if blocked else candidate.token,
    )


def _judge(step: Step, candidate: Candidate, unusable: str | None, blocked: set[str]) -> StepReport:
    question = QUESTIONS[step.name]
    if unusable is not None:
        return StepReport(step.name, question, "skipped", unusable)
    missing = [name for name in step.needs if name in blocked]
    if missing:
        return StepReport(step.name, question, "skipped", f"needs what `{missing[0]}` did not give")
    try:
        step.run(candidate)
    except TokenRefused as refusal:
        return StepReport(step.name, question, "failed", str(refusal), refusal.reason)
    return StepReport(step.name, question, "passed")
