"""Reads the conformance cases, and asks policyd what they ask.

The format is described in tests/conformance/README.md. A case is data: nothing here knows what the
right answer is, and nothing here is written back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal as OneOf

import msgspec

from policyd.client import values as client
from policyd.client.values import Answer, PartialAnswer
from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.diagnostics import Diagnostic, Severity, Source, has_errors
from policyd.json_types import Json
from policyd.language import check_identity, load, load_tests
from policyd.language.policy import Api, PolicySet
from policyd.program.interpreter import World, interpret
from policyd.program.trace import RuleTrace
from policyd.prover.promises import Prover
from policyd.tokens.claims import facts
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.refusals import AudienceMismatch
from tests.support.embedded import in_process

FOLDER = Path(__file__).parents[1] / "conformance"

TRUTH_VALUES: dict[str, bool | None] = {"true": True, "false": False, "unknown": None}

#: Where a case's policy stands, unless it gives several files.
FILE_NAME = "case.policy"
TEST_NAME = "case_test.policy"
#: Where the condition under test goes.
BLANK = "CONDITION"


# -- the format ------------------------------------------------------------------------------


class TruthGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One condition, and its truth value in several situations.

    A row is a situation (a JSON object), a truth value, and perhaps a remark.
    """

    name: str
    clause: str
    when: str
    over: OneOf["claims", "userinfo", "attributes", "context"]
    rows: tuple[tuple[str, ...], ...]
    dialect: str = "auth0"
    token: str = "{}"
    without: tuple[str, ...] = ()


class CaseEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request, and its decision. What is `None` is taken from the file."""

    name: str
    clause: str
    decision: OneOf["allow", "deny", "invalid"]
    reason: str | None = None
    rules: tuple[str, ...] | None = None
    missing_scopes: tuple[str, ...] | None = None
    missing_scopes_one_of: tuple[tuple[str, ...], ...] | None = None
    message: str | None = None
    policy: str | None = None
    add: str = ""
    condition: str | None = None
    dialect: str | None = None
    token: str = "{}"
    without: tuple[str, ...] = ()
    api: str | None = None
    action: str | None = None
    resource: str | None = None
    id: str = ""
    userinfo: str | None = None
    attributes: str | None = None
    context: str | None = None


class PartialEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question with unknown facts, and what is certain of it.

    `allowed_with` and `denied_with` are attributes, or `context` entries, with which `Check` allows
    and denies. What is `None` is taken from the file.
    """

    name: str
    clause: str
    outcome: OneOf["allow", "deny", "maybe"]
    unknown: tuple[str, ...]
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    add: str = ""
    rules: tuple[str, ...] | None = None
    reason: str | None = None
    missing_scopes: tuple[str, ...] = ()
    token: str = "{}"
    action: str | None = None
    id: str = ""
    attributes: str = "{}"
    context: str | None = None
    over: OneOf["attributes", "context", "id"] = "attributes"
    allowed_with: str | None = None
    denied_with: str | None = None


class LoadEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that must not load, and its twin that must; either may be left out."""

    name: str
    clause: str
    bad: str | None = None
    good: str | None = None
    bad_files: dict[str, str] | None = None
    good_files: dict[str, str] | None = None
    bad_tests: str | None = None
    good_tests: str | None = None
    issuers: int = 1
    code: str | None = None


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    policy: str = ""
    files: dict[str, str] = {}
    clock: str = "2026-11-22T10:00:00Z"
    dialect: str = "auth0"
    token: str = "{}"
    action: str = ""
    resource: str = ""
    userinfo: str | None = None
    attributes: str = "{}"
    context: str = "{}"
    truth: tuple[TruthGroup, ...] = ()
    case: tuple[CaseEntry, ...] = ()
    partial: tuple[PartialEntry, ...] = ()
    load: tuple[LoadEntry, ...] = ()


class BaseToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    header: str
    claims: str


# -- cases, ready to be asked ----------------------------------------------------------------


class Files(msgspec.Struct, frozen=True):
    """Policy files by name, and perhaps a file of tests."""

    policies: tuple[tuple[str, str], ...]
    tests: str | None = None


class Question(msgspec.Struct, frozen=True):
    """Policy files, a token's payload, what its issuer tells of the user, a request, the clock."""

    files: Files
    dialect: str
    claims: dict[str, Json]
    userinfo: dict[str, Json] | None
    now: int
    api: str | None
    action: str
    resource: str
    id: str
    attributes: dict[str, Json]
    context: dict[str, Json]


class TruthCase(msgspec.Struct, frozen=True):
    """`asked` has an allow with the condition, `refused` an allow that always holds, and a deny."""

    name: str
    clause: str
    truth: bool | None
    asked: Question
    refused: Question


class DecisionCase(msgspec.Struct, frozen=True):
    name: str
    entry: CaseEntry
    question: Question


class PartialCase(msgspec.Struct, frozen=True):
    """`allowed` and `denied` are the question as it may turn out."""

    name: str
    entry: PartialEntry
    question: Question
    allowed: Question | None
    denied: Question | None


class LoadCase(msgspec.Struct, frozen=True):
    """`issuers` is how many may speak for each API."""

    name: str
    clause: str
    bad: Files | None
    good: Files | None
    issuers: int
    code: str | None


def read_files() -> list[tuple[str, CaseFile]]:
    """Read every file of cases, by name."""
    return [
        (path.stem, msgspec.toml.decode(path.read_bytes(), type=CaseFile))
        for path in sorted((FOLDER / "cases").glob("*.toml"))
    ]


def truth_cases() -> list[TruthCase]:
    """Read what conditions come to."""
    return list(_truth_cases())


def decision_cases() -> list[DecisionCase]:
    """Read what requests are answered."""
    return [
        DecisionCase(f"{stem}: {entry.name}", entry, _question(file, entry))
        for stem, file in read_files()
        for entry in file.case
    ]


def partial_cases() -> list[PartialCase]:
    """Read what is certain of questions with unknown facts."""
    return [_partial_case(stem, file, one) for stem, file in read_files() for one in file.partial]


def _partial_case(stem: str, file: CaseFile, entry: PartialEntry) -> PartialCase:
    asked = CaseEntry(
        name=entry.name,
        clause=entry.clause,
        decision="deny",
        add=entry.add,
        condition=entry.condition,
        token=entry.token,
        action=entry.action,
        id=entry.id,
        attributes=entry.attributes,
        context=entry.context,
    )
    question = _question(file, asked)

    def turned_out(with_: str | None) -> Question | None:
        if with_ is None:
            return None
        if entry.over == "id":
            return msgspec.structs.replace(question, id=with_)
        given = question.attributes if entry.over == "attributes" else question.context
        return msgspec.structs.replace(question, **{entry.over: given | _object(with_)})

    return PartialCase(
        f"{stem}: {entry.name}",
        entry,
        question,
        turned_out(entry.allowed_with),
        turned_out(entry.denied_with),
    )


def load_cases() -> list[LoadCase]:
    """Read what loads and what does not."""
    return [
        LoadCase(
            f"{stem}: {entry.name}",
            entry.clause,
            _files(file.policy, entry.bad, entry.bad_files, entry.bad_tests),
            _files(file.policy, entry.good, entry.good_files, entry.good_tests),
            entry.issuers,
            entry.code,
        )
        for stem, file in read_files()
        for entry in file.load
    ]


def _truth_cases() -> Iterator[TruthCase]:
    for stem, file in read_files():
        now = _seconds(file.clock)
        for group in file.truth:
            files = Files(((FILE_NAME, file.policy.replace(BLANK, group.when)),))
            for number, (over, truth, *_) in enumerate(group.rows, 1):
                kinds = ("claims", "userinfo", "attributes", "context")
                situation = {**dict.fromkeys(kinds, "{}"), group.over: over}
                question = Question(
                    files=files,
                    dialect=group.dialect,
                    claims=_claims(
                        group.dialect, (file.token, group.token, situation["claims"]), group.without
                    ),
                    userinfo=_object(situation["userinfo"]),
                    now=now,
                    api=None,
                    action="ask",
                    resource="thing",
                    id="",
                    attributes=_object(situation["attributes"]),
                    context=_object(situation["context"]),
                )
                refused = msgspec.structs.replace(question, action="refuse")
                name = f"{stem}: {group.name}, {number}: {over}"
                yield TruthCase(name, group.clause, TRUTH_VALUES[truth], question, refused)


def _question(file: CaseFile, entry: CaseEntry) -> Question:
    policy = file.policy if entry.policy is None else entry.policy
    policy = f"{policy}\n{entry.add}\n"
    userinfo = file.userinfo if entry.userinfo is None else entry.userinfo
    dialect = file.dialect if entry.dialect is None else entry.dialect
    if entry.condition is not None:
        policy = policy.replace(BLANK, entry.condition)
    return Question(
        files=Files(tuple(sorted(file.files.items())) or ((FILE_NAME, policy),)),
        dialect=dialect,
        claims=_claims(dialect, (file.token, entry.token), entry.without),
        userinfo=None if userinfo is None else _object(userinfo),
        now=_seconds(file.clock),
        api=entry.api,
        action=file.action if entry.action is None else entry.action,
        resource=file.resource if entry.resource is None else entry.resource,
        id=entry.id,
        attributes=_object(file.attributes if entry.attributes is None else entry.attributes),
        context=_object(file.context if entry.context is None else entry.context),
    )


def _files(
    policy: str, text: str | None, files: Mapping[str, str] | None, tests: str | None
) -> Files | None:
    if files is not None:
        return Files(tuple(sorted(files.items())), tests)
    if text is None and tests is None:
        return None
    return Files(((FILE_NAME, policy + (text or "")),), tests)


@cache
def _base(dialect: str) -> BaseToken:
    read = msgspec.toml.decode((FOLDER / "base.toml").read_bytes(), type=dict[str, BaseToken])
    return read[dialect]


def _claims(dialect: str, layers: tuple[str, ...], without: tuple[str, ...]) -> dict[str, Json]:
    claims = _object(_base(dialect).claims)
    for layer in layers:
        claims |= _object(layer)
    return {name: value for name, value in claims.items() if name not in without}


def _object(text: str) -> dict[str, Json]:
    value = json.loads(text)
    assert isinstance(value, dict), f"not a JSON object: {text}"
    return value


def _seconds(clock: str) -> int:
    return int(datetime.fromisoformat(clock).timestamp())


# -- asking policyd --------------------------------------------------------------------------


class _DialectOnly:
    """Stands for the token pipeline: reads the payload it was given, and checks the audience.

    Signatures, kinds and times have tests of their own; these cases are about what follows.
    """

    def __init__(self, question: Question) -> None:
        self._question = question

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        token = verified(self._question)
        if token.audience.isdisjoint(resource_server.audiences):
            raise AudienceMismatch(f"not for {resource_server.name}")
        return token

    def userinfo(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        return self._question.userinfo


def verified(question: Question) -> VerifiedToken:
    """Read the payload by its dialect. Raises a `TokenRefused`."""
    header = _object(_base(question.dialect).header)
    return facts.read(question.dialect, header, question.claims)


@cache
def policies(files: Files) -> PolicySet:
    """Load files that must load."""
    loaded = load(sources(files))
    assert loaded.policies is not None, [found.headline for found in loaded.diagnostics]
    return loaded.policies


def sources(files: Files) -> list[Source]:
    """Return the policy files, without the tests."""
    return [Source(name, text) for name, text in files.policies]


def errors(files: Files, issuers: int = 1) -> list[Diagnostic]:
    """Load policies and their tests where `issuers` may speak for each API."""
    loaded = load(sources(files))
    found = list(loaded.diagnostics)
    if loaded.policies is not None and issuers > 1:
        found += check_identity(loaded.policies, loaded.policies.apis)
    if loaded.policies is not None:
        found += Prover().prove(loaded.policies)
    if loaded.policies is not None and files.tests is not None:
        found += load_tests([Source(TEST_NAME, files.tests)], loaded.policies).diagnostics
    errors = [one for one in found if one.severity is Severity.ERROR]
    assert (loaded.policies is None) is has_errors(loaded.diagnostics), "all or nothing"
    return errors


def decide(question: Question) -> Decision:
    """Ask the engine, which runs compiled rules. Raises `InvalidRequest`."""
    return _engine(question).check(_request(question))


def decide_partially(question: Question, unknown: tuple[str, ...]) -> Decision:
    """Ask the engine what is certain. Raises `InvalidRequest`."""
    return _engine(question).check_partially(_request(question), unknown)


def ask_embedded(question: Question) -> Answer:
    """Ask as a service asks that decides in its own process. Raises `AuthorizationFailed`."""
    return in_process(_engine(question)).ask(_asked(question))


def ask_embedded_partially(question: Question, unknown: tuple[str, ...]) -> PartialAnswer:
    """Ask so what is certain. Raises `AuthorizationFailed`."""
    return in_process(_engine(question)).partial(_asked(question), unknown)


def _asked(question: Question) -> client.Question:
    resource = client.Resource(question.resource, question.id, question.attributes)
    return client.Question("", question.action, resource, _api_name(question), question.context)


def _engine(question: Question) -> Engine:
    engine = Engine(_DialectOnly(question), clock=lambda: question.now)
    engine.load(policies(question.files))
    return engine


def _request(question: Question) -> Request:
    return Request(
        access_token="",
        api=_api_name(question),
        action=question.action,
        resource_type=question.resource,
        resource_id=question.id,
        attributes=question.attributes,
        context=question.context,
    )


def trace(question: Question, more_scopes: frozenset[str] = frozenset()) -> tuple[RuleTrace, ...]:
    """Ask the interpreter, the oracle: how each rule for this request came out."""
    api = _api(question)
    token = verified(question)
    if more_scopes:
        token = msgspec.structs.replace(token, scopes=token.scopes | more_scopes)
    rules = [
        rule
        for rule in api.rules
        if rule.resource == question.resource and question.action in rule.actions
    ]
    world = World(
        token=token,
        resource_id=question.id,
        attributes=question.attributes,
        context=question.context,
        now=question.now,
        userinfo=question.userinfo or {},
    )
    return interpret(api, rules, world).rules


def determine(traces: tuple[RuleTrace, ...]) -> tuple[bool, tuple[str, ...]]:
    """Combine the rules' truth values as section 2.4, 2.6 and 2.11 say: allowed, by which rules."""
    denies = [
        one.rule.name for one in traces if one.rule.effect == "deny" and one.value is not False
    ]
    allows = [one.rule.name for one in traces if one.rule.effect == "allow" and one.value is True]
    return not denies and bool(allows), tuple(sorted(denies or allows))


def _api_name(question: Question) -> str:
    """The API asked about: the only one there is, unless the case names one."""
    if question.api is not None:
        return question.api
    (name,) = policies(question.files).apis
    return name


def _api(question: Question) -> Api:
    name = _api_name(question)
    for api in policies(question.files).apis.values():
        if name == api.name or name in api.audiences:
            return api
    raise LookupError(name)
