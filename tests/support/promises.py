"""Promises about small policies, and whether they hold: written by hand, each about one thing.

They reach what random policies seldom ask, such as two prefixes of which neither begins the other.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from policyd.language.policy import Rule
from policyd.prover.axioms import Premises
from policyd.prover.questions import NO_PREMISES, Answer, Refuted, prove_never
from policyd.prover.universe import Side
from tests.support.program import policies

HEAD = """\
api things

audience "https://example.com/things"

scope all  "All" includes some
scope some "Some"

values kind: "a", "b", "c"

claim text:    string?
claim other:   string?
claim kind:    kind?
claim kinds:   set<kind>?
claim number:  int?
claim numbers: set<int>?
claim amount:  decimal?
claim time:    time?
claim ip:      ip?
claim ips:     set<ip>?
claim texts:   set<string>?
claim more:    set<string>?
claim must:    string
claim theirs:  string? from "/theirs" of "https://one.example/"
claim outer:   string? from "/outer"
claim inner:   string? from "/outer/inner"
claim again:   string? from "/number"
claim list:    list? {
    name: string (from key)
    text: string?
    flag: bool?
}
claim authorization_details: list? {
    type:      string
    locations: set<string>?
}

resource thing {
    text:   string?
    flag:   bool?
    kind:   kind?
    kinds:  set<kind>?
    number: int
    amount: decimal
    time:   time?
    actions do
}

"""


#: True of every request: what is promised never to be allowed then cannot be allowed at all.
ALWAYS = "resource.number >= 0 or resource.number < 0"


class Promise(NamedTuple):
    """When `do` is allowed, what is promised never to be so then, and whether that holds."""

    allowed: str
    never: str
    holds: bool


PROMISES = (
    # Unknown is not false.
    Promise("scope some", "resource.flag", False),
    Promise("scope some and not resource.flag", "resource.flag", True),
    Promise("scope some", "resource.flag is present and resource.flag", False),
    Promise("resource.flag is missing", "resource.flag is present", True),
    Promise("resource.flag is missing", "resource.flag", False),
    Promise('token.text == "a" or token.text != "a"', "token.text is missing", True),
    Promise('token.text == "a" or token.text != "a"', "token.text is present", False),
    # Claims may be ill-typed, and attributes may not.
    Promise("scope some", "not (token.text is present or token.text is missing)", False),
    Promise("scope some", "not (resource.text is present or resource.text is missing)", True),
    Promise("scope some", "token.must is missing", True),
    Promise("scope some", "not (resource.number >= 0 or resource.number < 0)", True),
    # Names are not empty, claims may be.
    Promise("resource.id is present", 'resource.id == ""', True),
    Promise("scope some", 'token.subject is present and token.subject == ""', True),
    Promise('token.text == ""', 'token.text == ""', False),
    Promise("scope some", "not (token.sub is present or token.sub is missing)", True),
    Promise("scope some", "subject is user and subject is application", False),
    Promise("subject is user", "subject is application", True),
    # Prefixes and suffixes.
    Promise('token.text starts with "ab"', 'token.text starts with "cd"', True),
    Promise('token.text starts with "ab"', 'not (token.text starts with "a")', True),
    Promise('token.text starts with "a"', 'token.text starts with "ab"', False),
    Promise('token.text ends with "ab"', 'token.text ends with "cb"', True),
    Promise('token.text starts with "ab"', 'token.text == "abc"', False),
    Promise('token.text starts with "b"', 'token.text == "abc"', True),
    Promise('token.text ends with "c"', 'token.text == "abd"', True),
    Promise('token.text ends with "a"', 'token.text == "ab"', True),
    Promise('token.text starts with "a" and token.text ends with "z"', 'token.text != "az"', False),
    # Vocabularies are finite.
    Promise('resource.kind != "a" and resource.kind != "b"', 'resource.kind != "c"', True),
    Promise('token.kind != "a" and token.kind != "b"', 'token.kind == "c"', False),
    Promise("token.text == resource.kind", 'not (token.text in ["a", "b", "c"])', True),
    Promise("token.text in token.kinds", 'not (token.text in ["a", "b", "c"])', True),
    Promise("token.text in resource.kinds", 'not (token.text in ["a", "b", "c"])', True),
    Promise(
        "token.kind is present and resource.kind is present and token.kind != resource.kind"
        ' and token.text == token.other and token.text in ["a", "b", "c"]'
        " and token.text != token.kind and token.text != resource.kind",
        'token.text == "c"',
        False,
    ),
    Promise('resource.kind != "a"', "resource.kind is present", False),
    # Numbers.
    Promise("resource.number > 3 and resource.number < 5", "resource.number != 4", True),
    Promise("resource.number > 3", "resource.number == 4", False),
    Promise("resource.number < -9007199254740990", "resource.number != -9007199254740991", True),
    Promise("resource.number > 9007199254740990", "resource.number != 9007199254740991", True),
    Promise(
        "resource.amount > 1.5 and resource.amount < 1.5002", "resource.amount != 1.5001", True
    ),
    Promise("resource.amount >= 1.5", "resource.amount == 1.5", False),
    Promise("token.number <= resource.number", "token.number > resource.number", True),
    # Time.
    Promise("token.time within last 1h", "token.time > now", False),
    Promise("token.time within last 1h and token.time <= now", "token.time within next 1s", False),
    Promise("token.time within last 1h", "token.time within next 2h and now < token.time", False),
    Promise("token.time within last 1h", "not (token.time within last 5m)", False),
    Promise("token.time within last 1s and token.time < now", ALWAYS, False),
    Promise("scope some", "now > token.expires_at", False),
    Promise("scope some and not (token.expires_at within last 2m)", "now > token.expires_at", True),
    Promise("token.issued_at is present", "now < token.issued_at", False),
    Promise('now < "2000-01-01T00:00:00Z"', 'now >= "1970-01-01T00:00:00Z"', False),
    Promise("scope some", 'now < "1970-01-01T00:00:00Z"', True),
    # Addresses.
    Promise('token.ip in ["10.0.0.0/8"]', 'token.ip in ["::/0"]', True),
    Promise('token.ip in ["10.1.0.0/16"]', 'not (token.ip in ["10.0.0.0/8"])', True),
    Promise('token.ip in ["10.0.0.0/8"]', 'not (token.ip in ["10.1.0.0/16"])', False),
    Promise('token.ips has any ["10.0.0.0/8"]', 'not (token.ips has any ["0.0.0.0/0"])', True),
    Promise('token.ips has any ["10.0.0.0/8"]', 'not (token.ips has any ["::/0"])', False),
    Promise('token.ip == "::ffff:10.0.0.1"', 'not (token.ip in ["10.0.0.0/8"])', True),
    Promise("token.ip in token.ips", 'token.ip == "::1" and not ("::1" in token.ips)', True),
    # Sets.
    Promise("token.texts has all token.more", "token.more has all token.texts", False),
    Promise(
        'token.texts has all token.more and "a" in token.more', 'not ("a" in token.texts)', True
    ),
    Promise("token.texts has all token.more", 'not ("a" in token.texts)', False),
    Promise("token.texts has any token.more", "not (token.more has any token.texts)", True),
    Promise(
        "token.texts has any token.more and token.more has all token.texts",
        "token.texts has all token.more",
        False,
    ),
    Promise(
        "token.text in token.texts and token.text == token.other",
        "not (token.other in token.texts)",
        True,
    ),
    Promise('token.texts has all ["a", "b"]', 'not (token.texts has any ["b", "c"])', True),
    Promise('token.texts has any ["a", "b"]', 'not (token.texts has all ["a", "b"])', False),
    Promise('token.kinds has any ["a"]', 'token.texts has any ["a"]', False),
    # Scopes.
    Promise("scope all", "not scope some", True),
    Promise("scope some", "not scope all", False),
    Promise("scope all", "not (token.scopes has all [all, some])", True),
    Promise('token.text in token.scopes and token.text == "all"', "not scope some", True),
    Promise("token.texts has all token.scopes and scope all", 'not ("some" in token.texts)', True),
    Promise('token.text == "" and token.text in token.scopes', ALWAYS, True),
    # Who speaks, and for whom.
    Promise("token.theirs is present", 'token.iss != "https://one.example/"', True),
    Promise("token.theirs is missing", 'token.iss == "https://one.example/"', False),
    Promise("scope some", 'token.audience has all ["https://example.com/things", "x"]', False),
    Promise(
        'token.audience has any ["x"]',
        'not (token.audience has any ["https://example.com/things"])',
        True,
    ),
    # What stands at one place, or within another.
    Promise("token.outer is present and token.inner is present", ALWAYS, True),
    Promise("token.outer is missing and token.inner is present", ALWAYS, True),
    Promise("token.again is present and token.number is present", ALWAYS, True),
    Promise("token.again is missing and token.number is present", ALWAYS, True),
    # Lists.
    Promise("token.list has some (item.flag)", "not (token.list has some (item.flag))", True),
    Promise(
        'token.list has some (item.flag) and token.list has some (item.text == "a")',
        'not (token.list has some (item.flag and item.text == "a"))',
        False,
    ),
    Promise("token.list is present", "token.list has some (not item.flag)", False),
    Promise(
        'not (token.list has some (not item.flag)) and token.list has some (item.text == "a")',
        'not (token.list has some (item.flag and item.text == "a"))',
        True,
    ),
    Promise(
        'token.list has some (item.name == "a" and item.flag)',
        'token.list has some (item.name == "a" and not item.flag)',
        True,
    ),
    Promise(
        "token.authorization_details has some (item.locations is present)",
        "not (token.authorization_details has some"
        ' ("https://example.com/things" in item.locations or item.locations is missing))',
        True,
    ),
    Promise(
        'token.authorization_details has some (item.type == "a")',
        "token.authorization_details has some (item.locations is present)",
        False,
    ),
)


def answer(promise: Promise, premises: Premises = NO_PREMISES) -> Answer:
    """Ask whether a promise holds."""
    side, rules, never = asked(promise)
    return prove_never(side, rules, never, premises)


@cache
def asked(promise: Promise) -> tuple[Side, list[Rule], Rule]:
    """Return the declarations, the rules, and the promise."""
    loaded = policies(
        f"{HEAD}allow yes: do on thing\n    when {promise.allowed}\n\n"
        f"deny never: do on thing\n    when {promise.never}\n"
    )
    api = loaded.apis["things"]
    side = Side(api, api.resources["thing"], "do")
    (never,) = (rule for rule in api.rules if rule.effect == "deny")
    return side, [rule for rule in api.rules if rule.effect == "allow"], never


def check(promise: Promise) -> None:
    """Check that a promise is answered as it should be, and a counterexample confirmed."""
    found = answer(promise)
    if promise.holds:
        assert found == "proven", promise
    else:
        assert isinstance(found, Refuted), promise
        assert found.confirmed, promise
