"""What each step of verification does, from the text of a token to a `VerifiedToken`.

Each step reads what earlier ones left in the `Candidate`, and leaves something or refuses. What it
finds is trusted only as far as its place in `pipeline.PIPELINE` allows: before `signature`, nothing
the token says is true.
"""

from __future__ import annotations

from collections.abc import Callable

from policyd.json_types import Json
from policyd.tokens import jws, mistaken
from policyd.tokens.claims import audiences, facts, kinds, times
from policyd.tokens.claims.audiences import Audience
from policyd.tokens.claims.times import Times
from policyd.tokens.details import configured, escaped, parameter, quote
from policyd.tokens.jws import Encoded, Header, SigningKey
from policyd.tokens.keys.source import KeySnapshot
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.proof.constraints import check_required
from policyd.tokens.refusals import (
    AlgorithmNotAllowed,
    IssuerUnknown,
    KeysRefreshing,
    KeysUnavailable,
    KeyUnknown,
    SignatureInvalid,
    TokenMalformed,
    TokenMissing,
    TokenRefused,
    TokenTooLarge,
)
from policyd.tokens.revocation.revocations import NOTHING_REVOKED
from policyd.tokens.trust import Issuer, Trust

#: Checks a verified token at each use: the token, its text, the proof of its sender, the time.
UseCheck = Callable[[VerifiedToken, str, SenderProof, float], None]


class Candidate:
    """A token on its way through the steps; each attribute below the line is left by one step."""

    __slots__ = (
        "api",
        "audience",
        "claims",
        "encoded",
        "header",
        "header_bytes",
        "is_access_token",
        "issuer",
        "key",
        "now",
        "payload_bytes",
        "proof",
        "signature",
        "snapshot",
        "text",
        "times",
        "token",
        "trust",
    )

    def __init__(
        self,
        text: str,
        api: ResourceServer,
        now: float,
        trust: Trust,
        proof: SenderProof = NO_PROOF,
    ) -> None:
        self.text = text
        self.api = api
        self.now = now
        self.trust = trust
        self.proof = proof
        # ---
        self.encoded: Encoded
        self.header_bytes: bytes
        self.payload_bytes: bytes
        self.signature: bytes
        self.header: Header
        self.claims: dict[str, Json]
        self.issuer: Issuer
        self.snapshot: KeySnapshot
        self.key: SigningKey
        self.is_access_token = False
        self.times: Times
        self.audience: Audience
        self.token: VerifiedToken


def split(candidate: Candidate) -> None:
    """Leave `encoded`: three segments of a token that is not too long."""
    size = len(candidate.text)
    if size == 0:
        raise TokenMissing("the request has no access token")
    longest = candidate.trust.max_token_bytes
    if size > longest:
        raise TokenTooLarge(f"the token has {size} bytes, the limit is {longest}")
    try:
        candidate.encoded = jws.split(candidate.text)
    except TokenMalformed as problem:
        raise _told_apart(problem, candidate.text) from None


def decode(candidate: Candidate) -> None:
    """Leave the bytes of the three segments."""
    encoded = candidate.encoded
    try:
        candidate.header_bytes = jws.decode_header(encoded.header)
        candidate.payload_bytes = jws.decode_segment(encoded.payload, "payload")
        candidate.signature = jws.decode_segment(encoded.signature, "signature")
    except TokenMalformed as problem:
        raise _told_apart(problem, candidate.text) from None


def read_header(candidate: Candidate) -> None:
    """Leave `header`."""
    candidate.header = jws.read_header(candidate.header_bytes)


def read_payload(candidate: Candidate) -> None:
    """Leave `claims`, of which none is believed yet."""
    candidate.claims = jws.read_object(candidate.payload_bytes, "payload")


def find_issuer(candidate: Candidate) -> None:
    """Leave `issuer`: the configured one whose name equals `iss`."""
    name = candidate.claims.get("iss")
    issuer = candidate.trust.issuers.get(name) if isinstance(name, str) else None
    if issuer is None:
        raise IssuerUnknown(_no_such_issuer(candidate))
    candidate.issuer = issuer


def check_api(candidate: Candidate) -> None:
    """The issuer may speak for this API."""
    check_issuer_speaks(candidate.issuer, candidate.api)


def check_algorithm(candidate: Candidate) -> None:
    """The algorithm is one that the issuer is configured to use."""
    issuer, algorithm = candidate.issuer, candidate.header.algorithm
    if algorithm not in issuer.algorithms:
        raise AlgorithmNotAllowed(
            f"the token's `alg` is {parameter(algorithm)}, "
            f"this issuer's `algorithms` are {', '.join(sorted(issuer.algorithms))}"
        )


def find_key(candidate: Candidate) -> None:
    """Leave `key`, the one key that may have signed, and the `snapshot` of keys it stands in."""
    issuer, header, now = candidate.issuer, candidate.header, candidate.now
    snapshot = issuer.keys.snapshot
    if snapshot is None:
        problem = issuer.keys.problem
        raise KeysUnavailable(
            "the issuer's keys have not been fetched yet"
            if problem is None
            else f"the issuer's keys could not be loaded: {problem}",
            retry_after=issuer.keys.renew(now),
        )
    check_fresh(issuer, snapshot, now)
    candidate.snapshot = snapshot
    key_id = header.key_id
    if key_id is None:
        candidate.key = _sole_key(candidate)
        return
    key = snapshot.key_set.keys.get((key_id, header.algorithm))
    if key is None:
        if key_id in snapshot.key_set.ambiguous:
            raise KeyUnknown(f"the key id {parameter(key_id)} names several keys of this issuer")
        if key_id in snapshot.key_set.key_ids:
            raise AlgorithmNotAllowed(
                f"the key {parameter(key_id)} is not for {header.algorithm}: "
                "a key verifies one algorithm"
            )
        if not key_id:
            raise KeyUnknown("the header's `kid` is empty: it names no key; leave it out")
        raise _no_such_key(issuer, key_id, now)
    candidate.key = key


def check_fresh_again(candidate: Candidate) -> None:
    """The keys that the token was verified with are still fresh."""
    check_fresh(candidate.issuer, candidate.snapshot, candidate.now)


def check_signature(candidate: Candidate) -> None:
    """The key signed these very bytes."""
    if not candidate.key.verify(candidate.encoded.signing_input, candidate.signature):
        candidate.issuer.keys.doubt(candidate.now)
        raise SignatureInvalid(
            f"the signature is not by the issuer's key {parameter(candidate.key.key_id)}: "
            "the token was changed, or signed by someone else"
        )


def check_kind(candidate: Candidate) -> None:
    """It is an access token, not an ID token or something else."""
    kinds.check_kind(candidate.issuer.dialect, candidate.header, candidate.claims)
    candidate.is_access_token = True


def recall_kind(candidate: Candidate) -> None:
    """It was found to be an access token: from here on a refusal may tell its facts."""
    candidate.is_access_token = True


def check_times(candidate: Candidate) -> None:
    """Leave `times`; it is the time for this token."""
    candidate.times = times.read_times(candidate.claims)
    check_times_again(candidate)


def check_times_again(candidate: Candidate) -> None:
    """It is still the time for this token."""
    times.check_times(candidate.times, candidate.issuer.settings, candidate.now)


def check_audience(candidate: Candidate) -> None:
    """Leave `audience`; the token is for this API."""
    candidate.audience = audiences.read_audience(candidate.claims, candidate.issuer.dialect)
    check_audience_again(candidate)


def check_audience_again(candidate: Candidate) -> None:
    """The token is for this API, which may be another than before."""
    audiences.check_audience(candidate.audience, candidate.issuer.settings, candidate.api)


def read_facts(candidate: Candidate) -> None:
    """Leave `token`: what the dialect makes of the claims."""
    facts.check_tenant(candidate.issuer.dialect, candidate.claims)
    candidate.token = facts.read_facts(
        candidate.issuer.dialect,
        candidate.header,
        candidate.claims,
        candidate.times,
        candidate.audience,
    )


def check_binding(candidate: Candidate) -> None:
    """A token that is bound to its sender came with the proof (RFC 7800)."""
    check_required(candidate.token, candidate.issuer.settings)
    candidate.trust.constraints.check(
        candidate.token, candidate.text, candidate.proof, candidate.now
    )


def binding_at_use(trust: Trust) -> UseCheck:
    """Each use needs a proof of its own; that the token must be bound is settled."""
    return trust.constraints.check


def check_revocation(candidate: Candidate) -> None:
    """The token was not revoked."""
    candidate.trust.revocations.check(candidate.token, candidate.now)


def revocation_at_use(trust: Trust) -> UseCheck | None:
    """It may have been revoked since, where anything can be."""
    if trust.revocations is NOTHING_REVOKED:
        return None
    check = trust.revocations.check
    return lambda token, _text, _proof, now: check(token, now)


def check_issuer_speaks(issuer: Issuer, api: ResourceServer) -> None:
    """Check that the issuer may speak for the API. Raises `IssuerUnknown`."""
    apis = issuer.settings.apis
    if apis is not None and api.name not in apis:
        raise IssuerUnknown(
            f"the issuer may not speak for the API {configured(api.name)}: "
            f"its `apis` are {', '.join(sorted(apis))}"
        )


def check_fresh(issuer: Issuer, snapshot: KeySnapshot, now: float) -> None:
    """Check that the keys are not too old to be trusted. Raises `KeysUnavailable`."""
    if now >= snapshot.usable_until:
        raise KeysUnavailable(
            f"the issuer's keys could not be renewed for more than {issuer.settings.max_stale} s "
            f"(`max_stale`): {issuer.keys.problem or 'no attempt has ended yet'}",
            retry_after=issuer.keys.renew(now),
        )


def explain_refusal(refusal: TokenRefused, candidate: Candidate) -> None:
    """Add to a refusal what is known of the token: proven facts, or its own unproven words."""
    claims = getattr(candidate, "claims", None)
    if claims is not None and isinstance(claims.get("iss"), str):
        refusal.unverified_issuer = escaped(claims["iss"])
    header = getattr(candidate, "header", None)
    if header is not None and header.key_id is not None:
        refusal.unverified_key_id = escaped(header.key_id)
    if candidate.is_access_token:
        refusal.token = facts_if_readable(candidate)


def facts_if_readable(candidate: Candidate) -> VerifiedToken | None:
    """Return what a log may say of a token whose signature and kind held."""
    try:
        return facts.read_facts(
            candidate.issuer.dialect,
            candidate.header,
            candidate.claims,
            times.read_times(candidate.claims),
            audiences.read_audience(candidate.claims, candidate.issuer.dialect),
        )
    except TokenRefused:
        return None


def _told_apart(problem: TokenMalformed, text: str) -> TokenMalformed:
    """Return what to say of a text that is no token: what it is, where that is known."""
    meant = mistaken.meant(text)
    return problem if meant is None else TokenMalformed(meant)


def _no_such_issuer(candidate: Candidate) -> str:
    if "iss" not in candidate.claims:
        return "the token has no `iss`"
    name = candidate.claims["iss"]
    known_ones = ", ".join(configured(known) for known in sorted(candidate.trust.issuers)[:3])
    return (
        f"`iss` is {quote(name, 'iss')}, configured are {known_ones}; "
        "they must be equal in every character, the final slash too"
    )


def _sole_key(candidate: Candidate) -> SigningKey:
    algorithm = candidate.header.algorithm
    fitting = candidate.snapshot.key_set.by_algorithm.get(algorithm, ())
    if not fitting:
        raise _no_such_key(candidate.issuer, "", candidate.now)
    if len(fitting) > 1:
        raise KeyUnknown(
            f"the token names no key (`kid`), and {len(fitting)} keys of its issuer fit {algorithm}"
        )
    return fitting[0]


def _no_such_key(issuer: Issuer, key_id: str, now: float) -> TokenRefused:
    which = f"the key {parameter(key_id)}" if key_id else "a key that fits a token without `kid`"
    retry_after = issuer.keys.look_for(key_id, now)
    if retry_after is None:
        return KeyUnknown(f"the issuer's key set does not hold {which}")
    return KeysRefreshing(
        f"the issuer's key set does not hold {which} as yet; "
        f"it is read again within {retry_after} s",
        retry_after=retry_after,
    )
