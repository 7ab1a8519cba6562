"""Verdicts on lines of a log."""

from __future__ import annotations

import msgspec
import pytest

from policyd.audit.schema import DecisionRecord
from policyd.language.policy import PolicySet
from policyd.replay import Verdict, replay
from policyd.replay.records import Asked
from policyd.tokens.claims import facts
from policyd.tokens.refusals import AudienceMismatch, ClaimMissing, TokenExpired
from tests.support.logs import CLAIMS, POLICY, Question, loaded, log_lines


def judge(
    question: Question, new: str, masks: tuple[str, ...] = (), baseline: str | None = POLICY
) -> Verdict:
    """Write one line by `POLICY`, and replay it against another policy."""
    before = None if baseline is None else loaded(baseline)
    (verdict,) = replay(log_lines([question], POLICY, masks), loaded(new), before)
    return verdict


def changed(old: str, new: str) -> str:
    assert old in POLICY
    return POLICY.replace(old, new)


def test_what_differs_names_the_rules() -> None:
    stricter = changed('"doctor" in', '"surgeon" in')
    found = judge(Question(sealed=True), stricter)
    assert found.kind == "differs"
    assert found.before is not None
    assert found.after is not None
    assert (found.before.text, [*found.before.rules]) == ("allowed", ["reads"])
    assert (found.after.text, [*found.after.rules]) == ("denied", ["sealed"])
    assert judge(Question(), stricter).kind == "same"


def test_a_masked_fact_is_in_doubt_where_the_rule_that_reads_it_changed() -> None:
    masks = ("token.roles",)
    assert judge(Question(sealed=True), POLICY, masks).kind == "same"
    stricter = changed('"doctor" in', '"surgeon" in')
    found = judge(Question(sealed=True), stricter, masks)
    assert found.kind == "cannot tell"
    assert found.after is not None
    assert found.after.facts == ("token.roles",)
    # Where the rule does not apply whatever the roles are, it can be told.
    assert judge(Question(sealed=False), stricter, masks).kind == "same"
    never = changed('unless "doctor" in token.roles', "")
    found = judge(Question(sealed=True), never, masks)
    # The baseline may have allowed it, for all that the log tells.
    assert found.kind == "cannot tell"
    assert judge(Question(sealed=True), never, masks, baseline=None).kind == "differs"


def test_masked_scopes() -> None:
    new = changed("when scope read:patients", "when scope write:patients")
    found = judge(Question(), new, ("token.scopes",))
    assert found.kind == "cannot tell"
    assert found.after is not None
    assert found.after.facts == ("token.scopes",)


NEW_ATTRIBUTE = changed("    ward:   string?\n", "    ward:   string?\n    floor:  int?\n").replace(
    "when resource.sealed\n", "when resource.sealed or resource.floor is present\n"
)


def test_what_was_not_declared_then_was_not_recorded() -> None:
    found = judge(Question(roles=()), NEW_ATTRIBUTE)
    assert found.kind == "cannot tell"
    assert found.after is not None
    assert found.after.facts == ("resource.floor",)
    assert judge(Question(), NEW_ATTRIBUTE).kind == "same"  # a doctor may in any case


def test_a_demanded_attribute_is_new() -> None:
    found = judge(Question(), changed("    ward:", "    floor:  int\n    ward:"))
    assert found.after is not None
    assert found.after.text == "allowed or the caller's mistake"


def test_without_the_policies_of_then_what_lacks_may_not_have_been_declared() -> None:
    new = changed("when resource.sealed\n", "when resource.ward is missing\n")
    lacking, given = Question(roles=()), Question(roles=(), attributes={"ward": "a"})
    assert judge(lacking, new, baseline=None).kind == "cannot tell"
    assert judge(given, new, baseline=None).kind == "same"
    assert judge(lacking, new).kind == "differs"


def test_a_claim_that_moved_is_another_one() -> None:
    found = judge(Question(sealed=True), changed("/realm_access/roles", "/roles"))
    assert found.kind == "cannot tell"
    assert found.after is not None
    assert found.after.facts == ("token.roles",)


def test_a_token_identifier_is_known_by_its_hash() -> None:
    read = "when scope read:patients\n"
    question = Question(claims={"jti": "t-1"})
    for test, kind in (
        ('token.jti == "t-1"', "same"),
        ('token.jti in ["t-0", "t-1"]', "same"),
        ('token.jti == "t-2"', "differs"),
        ('token.jti starts with "t"', "cannot tell"),
    ):
        new = changed(read, f"{read.rstrip()} and {test}\n")
        assert judge(question, new).kind == kind, test


def test_what_is_gone_is_the_callers_mistake() -> None:
    for old, new in (("read, update", "read"), ("api health", "api hospital")):
        text = changed(old, new)
        if "update" not in text.partition("actions")[2][:12]:
            text = text.replace("allow writes: update", "allow writes: read")
        found = judge(Question(action="update", claims={"scope": "write:patients"}), text)
        assert found.kind == "differs"
        assert found.after is not None
        assert found.after.text == "the caller's mistake"


def refusal(kind: type[TokenExpired] | type[AudienceMismatch] | type[ClaimMissing]) -> Question:
    refused = kind("refused")
    refused.token = facts.read("oidc", {}, {**CLAIMS, "sub": "u-1"})
    return Question(refusal=refused)


def test_a_refusal_by_other_steps_stays() -> None:
    for scope in ("read:patients", "write:patients"):
        new = changed("when scope read:patients", f"when scope {scope}")
        assert judge(refusal(TokenExpired), new).kind == "same"


def test_audiences_are_the_policies() -> None:
    elsewhere = changed("https://example.com/health-api", "https://example.com/other")
    assert judge(refusal(AudienceMismatch), POLICY).kind == "same"
    assert judge(refusal(AudienceMismatch), elsewhere).kind == "same"
    found = judge(Question(), elsewhere)
    assert found.after is not None
    assert (found.kind, found.after.text) == ("differs", "refused as a token")
    both = changed('health-api"', 'health-api"\naudience "https://example.com/other"')
    assert judge(Question(), both).kind == "same"
    found = judge(Question(), elsewhere, ("token.audience",))
    assert found.after is not None
    assert found.after.facts == ("token.audience",)


def test_a_claim_is_demanded_or_not_any_more() -> None:
    demanded = changed("claim roles: set<string>? ", "claim roles: set<string> ")
    assert judge(Question(claims={"realm_access": {}}), demanded).kind == "differs"
    assert judge(Question(), demanded).kind == "same"
    (line,) = log_lines([Question(claims={"realm_access": {}})], demanded)
    (back,) = replay([line], loaded(POLICY), loaded(demanded))
    assert back.kind == "differs"
    assert back.before is not None
    assert back.before.text == "refused as a token"
    (unsure,) = replay([line], loaded(POLICY))
    assert unsure.kind == "cannot tell"  # it may have been refused by another step
    (same,) = replay([line], loaded(demanded))
    assert same.kind == "same"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "ends within a record"),
        (b"nonsense", "no record"),
        (b'{"schema":1,"type":"decision"', "ends within a record"),
        (b'{"schema":2,"type":"decision"}', "schema 2"),
        (b'{"schema":1,"type":"decision"}', "no record of the decision log"),
        (b'{"schema":1,"type":"else"}', "no record of the decision log"),
        (b'{"type":"decision"}', "names no `schema`"),
        (b"[" * 100_000, "no record"),
    ],
)
def test_a_line_that_is_no_record(line: bytes, said: str) -> None:
    (found,) = replay([line], loaded())
    assert found.kind == "unusable"
    assert said in found.problem


def test_a_token_that_is_none() -> None:
    (line,) = log_lines([Question()])
    (found,) = replay([line.replace(b'"algorithm"', b'"al"')], loaded())
    assert found.kind == "unusable"
    assert "the record's token" in found.problem


def test_gaps_and_partial_answers_are_no_decisions() -> None:
    gap = b'{"type":"gap","schema":1,"time":"2026-12-01T00:00:00Z","dropped":3}'
    partial = b'{"type":"partial","schema":1}'
    assert [one.kind for one in replay([gap, partial], loaded())] == ["no decision"] * 2


def test_what_is_read_is_what_the_schema_says() -> None:
    whole = {one.name: one for one in msgspec.structs.fields(DecisionRecord)}
    for field in msgspec.structs.fields(Asked):
        assert field.name in whole
        assert (field.default is msgspec.NODEFAULT) == (
            whole[field.name].default is msgspec.NODEFAULT
            and whole[field.name].default_factory is msgspec.NODEFAULT
        ) or field.name in ("attributes", "context", "userinfo")


def test_revisions_without_end_do_not_fill_memory() -> None:
    (line,) = log_lines([Question()])
    policies: PolicySet = loaded()
    revision = policies.revision.encode()
    lines = (line.replace(revision, b"r%d" % number) for number in range(5000))
    assert {one.kind for one in replay(lines, policies)} == {"same"}
