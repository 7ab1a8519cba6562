"""A question, and its answer.

None of these can be part of a cycle, so the garbage collector need not look at them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from typing import Literal as OneOf

import msgspec

from policyd.json_types import Json
from policyd.language.policy import Attribute, Formula
from policyd.reasons import Reason
from policyd.tokens.model import NO_PROOF, SenderProof, SubjectKind, VerifiedToken

#: Seconds for which an answer may be cached by default; bounds the delay of a revocation.
MAX_DECISION_AGE: Final = 5


class Asserted(msgspec.Struct, frozen=True, gc=False):
    """A subject that an enforcement point vouches for, in place of an access token.

    `issuer` names the enforcement point as no issuer of tokens is named. `claims` are what rules
    read of the subject, and `scopes` those that it says were granted.
    """

    issuer: str
    subject: str
    kind: SubjectKind | None = None
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Json] = {}


class Expected(msgspec.Struct, frozen=True, gc=False):
    """Whom the caller takes the token's subject for; about another, nothing is decided."""

    subject: str


class Request(msgspec.Struct, frozen=True, gc=False):
    """May the bearer of `access_token` do `action` to the resource, at `api`?

    `api` is the API's name or one of its audiences. `resource_id` is empty when there is none.
    `attributes` and `context` hold JSON values; a number may be a float. `proof` goes with a token
    that is bound to its sender. `request_id` is the caller's own name for the request; no decision
    depends on it. `claim` is what the caller says of the subject.
    """

    access_token: str
    api: str
    action: str
    resource_type: str
    resource_id: str = ""
    attributes: Mapping[str, Json] = {}
    context: Mapping[str, Json] = {}
    proof: SenderProof = NO_PROOF
    request_id: str = ""
    claim: Asserted | Expected | None = None


class BatchItem(msgspec.Struct, frozen=True, gc=False):
    """One question of a batch; token, API and context belong to the batch."""

    action: str
    resource_type: str
    resource_id: str = ""
    attributes: Mapping[str, Json] = {}


class BatchRequest(msgspec.Struct, frozen=True, gc=False):
    """Several questions about one token; what they share is as in `Request`."""

    access_token: str
    api: str
    items: Sequence[BatchItem]
    context: Mapping[str, Json] = {}
    proof: SenderProof = NO_PROOF
    request_id: str = ""
    claim: Asserted | Expected | None = None


Outcome = OneOf["allow", "deny", "maybe"]


class Filter(msgspec.Struct, frozen=True, gc=False):
    """On which resources an action is allowed: those of which the condition is true.

    It is about facts of the resource alone, and holds no named conditions. A resource has these
    `attributes`, its identifier among them; one that lacks a mandatory one is none. Without a
    condition, it is all of them.
    """

    condition: Formula | None
    attributes: tuple[Attribute, ...]


class Partial(msgspec.Struct, frozen=True, gc=False):
    """What is certain of a decision on a question that leaves facts open.

    `allow` and `deny` hold whatever the facts turn out to be; with `maybe` it depends on
    `depends_on`, which are among the `assumed` ones. Both are spelled as a policy does, sorted.
    `stopped` says that the call's budget was spent: `maybe` may then be allow or deny. `filter` is
    there where one was asked for, and something is allowed.
    """

    outcome: Outcome
    assumed: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    stopped: bool = False
    filter: Filter | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer. `rules` are the determining rules, at most 100, sorted by code point.

    `api` is the API's name, also when the request named an audience. `time` is the engine's clock,
    in seconds since the epoch; rules compared with its whole second. `token` is present when the
    token was verified, also when something later failed. `cacheable_until` is whole seconds since
    the epoch: the answer may be used before that moment; `None` when it may not be kept at all.
    `http_status`, `www_authenticate`, `retry_after` (seconds) and `dpop_nonce` (the header field
    `DPoP-Nonce`) are what a policy enforcement point answers its own caller.

    `search_stopped` says that the search for scopes or a login stopped when the call's budget was
    spent: there may be some though none are named, or some of those that are named may be
    superfluous.

    Some fields are for the decision log, and must not be shown to the caller. `userinfo` is what
    the issuer told of the token's subject, where the rules can read some of it. `detail` says which
    check of the token failed, and `marked_detail` is the same with marks that tell which claims it
    cites (`policyd.tokens.refusals.masked_detail`). `unverified_issuer` and `unverified_key_id` are
    claims of a token whose signature did not hold, cut and escaped.

    `unknown_facts` are the facts, missing or ill-typed, for want of which denies among `rules`
    applied though their conditions are unknown.

    `commit` is the one that the policies came from, where they have commits.

    `partial` is set where the question left facts open; `allowed` only if that is certain.

    Nothing that it holds leads back to it, so the garbage collector need not look at it.
    """

    allowed: bool
    reason: Reason
    message: str
    api: str
    revision: str
    time: float
    rules: tuple[str, ...] = ()
    rules_truncated: bool = False
    token: VerifiedToken | None = None
    userinfo: Mapping[str, Json] = {}
    cacheable_until: int | None = None
    dpop_nonce: str = ""
    missing_scopes: tuple[str, ...] = ()
    http_status: int = 200
    www_authenticate: str = ""
    retry_after: int | None = None
    detail: str = ""
    search_stopped: bool = False
    unknown_facts: tuple[str, ...] = ()
    marked_detail: str = ""
    unverified_issuer: str | None = None
    unverified_key_id: str | None = None
    partial: Partial | None = None
    commit: str = ""


#: A decision, and the identifier that it has in the decision log.
Decided = tuple[Decision, str]


class StepUp(msgspec.Struct, frozen=True, gc=False):
    """What to ask of the next login (RFC 9470, section 3); `max_age` is in seconds.

    Neither is set where the login has to be another, and rules do not name which.
    """

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None


class Missing(NamedTuple):
    """What would give allow: additional scopes, or else another login, or else one more
    authorization detail, or nothing.

    `stopped` if the search ran out of budget: then some scopes may be superfluous, or scopes or a
    login may exist although none was found.
    """

    scopes: tuple[str, ...] = ()
    login: StepUp | None = None
    stopped: bool = False
    detail: bool = False
