"""P3 and P4: validation and decision in process, on one core, each beside what bounds it."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from bench.material import API, AUDIENCE, COUNT, ISSUER, POLICIES, Material
from bench.report import Row, Target, at_least, at_most, interleaved, ratio
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.tokens.issuers import IssuerSettings
from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer
from policyd.tokens.pipeline import issuer_of
from policyd.tokens.validator import Validator

PASSES = 20
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
    """P4: the warm engine, token included, beside a hash of the token and beside its peers."""
    engine = Engine(validator(material))
    engine.load(policies())
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
    if not all(engine.check(question).allowed for question in questions):
        raise RuntimeError("the engine denies the benchmark's question")
    encoded = [token.encode() for token in material.tokens]
    check, sha256 = engine.check, hashlib.sha256

    def ours() -> float:
        return _each(lambda: [check(question) for question in questions], PASSES)

    def hashing() -> float:
        return _each(lambda: [sha256(token).digest() for token in encoded], PASSES)

    candidates: dict[str, Callable[[], float]] = {"ours": ours, "hash": hashing}
    for name, ask in _peers().items():
        candidates[name] = _asking(ask)
    found = interleaved(candidates, rounds, "us")
    size = len(encoded[0])
    rows = [
        Row("P4", "Engine.check, warm, token included", None, found["ours"]),
        Row("P4", f"SHA-256 of the token ({size} bytes)", None, found["hash"]),
        Row("P4", "check / SHA-256", at_most(6), ratio(found["ours"], found["hash"])),
    ]
    for name, target in _PEERS.items():
        if name in found:
            rows.append(Row("P4", f"{name}, without any token", None, found[name]))
            rows.append(Row("P4", f"{name} / check", target, ratio(found[name], found["ours"])))
        else:
            rows.append(Row("P4", f"{name} / check", target, None, "it is not installed"))
    return rows


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


def _each(work: Callable[[], Iterable[object]], passes: int = 1) -> float:
    """Return the CPU microseconds that one of the `COUNT` items takes, over `passes` passes."""
    begin = time.process_time()
    for _ in range(passes):
        work()
    return (time.process_time() - begin) / (passes * COUNT) * 1e6


def _decoded(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
