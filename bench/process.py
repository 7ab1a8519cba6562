"""P3 and P4: validation and decision in process, on one core, each beside what bounds it."""

from __future__ import annotations

import base64
import gc
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from bench.material import API, AUDIENCE, COUNT, ISSUER, POLICIES, Material
from bench.report import Figure, Row, Target, at_least, at_most, interleaved, ratio
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import issuer_of
from policyd.tokens.validator import Validator

PASSES = 20
_WHOLE = "Engine.check, warm, token included"
_ALONE = "the decision alone, the token verified before"
_PEERS: dict[str, Target | None] = {
    "cedarpy": at_least(15),
    "PyCasbin": at_least(10),
    "regopy": None,
}


def rows_of_validation(material: Material, rounds: int) -> list[Row]:
    """P3: each token is new to the validator, from bytes to verified token."""
    server = ResourceServer(API, frozenset({AUDIENCE}))
    tokens = material.tokens
    parts = [token.encode().rpartition(b".") for token in tokens]
    signed = [(body, _decoded(signature)) for body, _, signature in parts]
    verify = material.public_key.verify
    padding, digest = PKCS1v15(), SHA256()
    now = time.time()

    def ours() -> float:
        verify_token = validator(material).verify
        return _each(lambda: [verify_token(token, server, now) for token in tokens])

    def bare() -> float:
        return _each(
            lambda: [verify(signature, body, padding, digest) for body, signature in signed]
        )

    def pyjwt() -> float:
        return _each(
            lambda: [
                jwt.decode(
                    token,
                    material.public_key,
                    algorithms=["RS256"],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                )
                for token in tokens
            ]
        )

    _settle()
    found = interleaved({"ours": ours, "bare": bare, "pyjwt": pyjwt}, rounds, "us")
    return [
        Row("P3", "cold validation of a token", None, found["ours"]),
        Row("P3", "the bare RSA-2048 verification", None, found["bare"]),
        Row("P3", "jwt.decode", None, found["pyjwt"]),
        Row(
            "P3",
            "validation / bare verification",
            at_most(1.8),
            ratio(found["ours"], found["bare"]),
        ),
        Row("P3", "jwt.decode / validation", at_least(2), ratio(found["pyjwt"], found["ours"])),
    ]


def rows_of_engine(material: Material, rounds: int) -> list[Row]:
    """P4: the warm engine beside a hash of the token and beside its peers.

    The peers are asked without any token. So there are two figures of ours: of a whole check, whose
    token is remembered and looked at again; and of the decision alone, on a token that was verified
    before, which is what the peers do.
    """
    whole, alone = Engine(validator(material)), Engine(_Verified(material))
    questions = [
        Request(
            access_token=token,
            api=API,
            action="read",
            resource_type="patient",
            resource_id=f"p{number}",
            attributes={"sealed": False},
            context={"ip": "192.0.2.7"},
        )
        for number, token in enumerate(material.tokens)
    ]
    for engine in (whole, alone):
        engine.load(policies())
        if not all(engine.check(question).allowed for question in questions):
            raise RuntimeError("the engine denies the benchmark's question")
    encoded = [token.encode() for token in material.tokens]
    sha256 = hashlib.sha256

    def checking(engine: Engine) -> Callable[[], float]:
        check = engine.check
        return lambda: _each(lambda: [check(question) for question in questions], PASSES)

    def hashing() -> float:
        return _each(lambda: [sha256(token).digest() for token in encoded], PASSES)

    candidates: dict[str, Callable[[], float]] = {
        "whole": checking(whole),
        "alone": checking(alone),
        "hash": hashing,
    }
    for name, ask in _peers().items():
        candidates[name] = _asking(ask)
    _settle()
    found = interleaved(candidates, rounds, "us")
    size = len(encoded[0])
    return [
        Row("P4", f"{_WHOLE}: its hash, look-up and re-checks", None, found["whole"]),
        Row("P4", f"{_ALONE}: it is looked up by its text, unhashed", None, found["alone"]),
        Row("P4", f"SHA-256 of the token ({size} bytes)", None, found["hash"]),
        Row("P4", f"{_WHOLE} / SHA-256", at_most(6), ratio(found["whole"], found["hash"])),
        *(row for name in _PEERS for row in _beside(name, found)),
    ]


def _beside(name: str, found: Mapping[str, Figure]) -> Iterator[Row]:
    """Yield what a peer takes, and how often the decision alone and a whole check fit in."""
    target = _PEERS[name]
    if name not in found:
        yield Row("P4", f"{name} / {_ALONE}", target, None, "it is not installed")
        return
    yield Row("P4", f"{name}, without any token", None, found[name])
    yield Row("P4", f"{name} / {_ALONE}", target, ratio(found[name], found["alone"]))
    yield Row("P4", f"{name} / {_WHOLE}", None, ratio(found[name], found["whole"]))


class _Verified:
    """Stands in for a validator: the tokens were verified before, and are found by their text."""

    def __init__(self, material: Material) -> None:
        verify, now = validator(material).verify, time.time()
        server = ResourceServer(API, frozenset({AUDIENCE}))
        self._tokens = {token: verify(token, server, now) for token in material.tokens}

    def verify(
        self,
        access_token: str,
        *_: object,
        **__: object,
    ) -> VerifiedToken:
        return self._tokens[access_token]

    def userinfo(self, token: VerifiedToken, access_token: str, now: float) -> None:
        """Tell nothing."""


def validator(material: Material) -> Validator:
    """Return a validator with an empty cache and the issuer's keys."""
    settings = IssuerSettings(issuer=ISSUER, dialect="auth0", jwks_file="jwks.json")
    keys = read_key_set(material.key_set, settings.algorithms)
    return Validator([issuer_of(settings, FixedKeys(keys))])


def policies() -> PolicySet:
    sources = [
        Source(path.name, path.read_text(encoding="utf-8"))
        for path in sorted(POLICIES.glob("*.policy"))
        if not path.name.endswith("_test.policy")
    ]
    loaded = load(sources)
    if loaded.policies is None:
        raise RuntimeError(f"the sample policies do not load: {loaded.diagnostics}")
    return loaded.policies


def _peers() -> dict[str, Callable[[int], bool]]:
    """Return the other engines that are installed, each as what asks about patient number n."""
    try:
        from bench.peers import libraries
    except ImportError:
        return {}
    found = {
        "cedarpy": libraries.cedar(COUNT),
        "PyCasbin": libraries.pycasbin(COUNT),
        "regopy": libraries.rego(COUNT),
    }
    for name, ask in found.items():
        if not ask(0):
            raise RuntimeError(f"{name} denies the benchmark's question")
    return found


def _asking(ask: Callable[[int], bool]) -> Callable[[], float]:
    return lambda: _each(lambda: [ask(number) for number in range(COUNT)])


def _settle() -> None:
    """Put what is there out of the collector's sight, as the daemon does once it has loaded."""
    gc.collect()
    gc.freeze()


def _each(work: Callable[[], Iterable[object]], passes: int = 1) -> float:
    """Return the CPU microseconds that one of the `COUNT` items takes, over `passes` passes."""
    begin = time.process_time()
    for _ in range(passes):
        work()
    return (time.process_time() - begin) / (passes * COUNT) * 1e6


def _decoded(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
