"""What was proven of a rule is remembered, and what is found about promises."""

from __future__ import annotations

from policyd.diagnostics import Source
from policyd.language import Loader
from policyd.language.policy import PolicySet
from policyd.prover.promises import _SPARE, Prover

HEAD = """\
api things

audience "https://example.com/things"

scope use  "Use"
scope run  "Run"

resource thing {
    open: bool?
    actions do, undo
}

prove scoped: never allow any on thing
    when not scope use and not scope run
"""
ONE = "api things\n\nallow one: do on thing\n    when scope use\n"
TWO = "api things\n\nallow two: do, undo on thing\n    when scope run\n"


class Set:
    """A policy set whose files change."""

    def __init__(self) -> None:
        self._loader = Loader()
        self.texts = {"head.policy": HEAD, "one.policy": ONE, "two.policy": TWO}
        self.prover = Prover()

    def load(self, **changed: str) -> PolicySet:
        """Load the files, some of which changed."""
        self.texts |= {f"{name}.policy": text for name, text in changed.items()}
        loaded = self._loader.load([Source(name, text) for name, text in self.texts.items()])
        assert loaded.policies is not None, loaded.diagnostics
        return loaded.policies


def test_a_reload_proves_what_changed() -> None:
    files = Set()

    assert files.prover.prove(files.load()) == ()
    assert files.prover.asked == 1, "both allows at once; both actions have the same attributes"
    assert files.prover.prove(files.load()) == ()
    assert files.prover.asked == 0
    assert files.prover.prove(files.load(two=TWO.replace("two", "too"))) == ()
    assert files.prover.asked == 0, "another rule that asks for the same scope"
    other = TWO.replace("when scope run", "when scope use and resource.open")
    assert files.prover.prove(files.load(two=other)) == ()
    assert files.prover.asked == 0, "and one that asks for more"
    other = TWO.replace("when scope run", 'when token.scopes has any ["use", "run"]')
    assert files.prover.prove(files.load(two=other)) == ()
    assert files.prover.asked == 1
    assert files.prover.prove(files.load(two=TWO)) == ()
    assert files.prover.asked == 0, "what was known once"
    assert files.prover.prove(files.load(head=HEAD.replace('"Use"', '"Use it"'))) == ()
    assert files.prover.asked == 1, "what rules depend on may have changed"


def test_a_deny_that_goes_breaks_a_promise() -> None:
    files = Set()
    deny = "api things\n\ndeny wall: any on thing\n    when not scope use\n"
    loose = ONE.replace("scope use", "true")

    assert files.prover.prove(files.load(one=loose, wall=deny)) == ()
    (found,) = files.prover.prove(files.load(wall="api things\n"))
    assert found.code == "P7001"
    assert found.promise == "scoped"
    assert "allow do on thing by one" in found.counterexample
    assert files.prover.prove(files.load(wall=deny)) == ()


def test_denies_that_keep_a_promise_keep_it_whatever_is_allowed() -> None:
    files = Set()
    deny = "api things\n\ndeny wall: any on thing\n    when not scope use\n"
    loose = ONE.replace("scope use", "true")

    assert files.prover.prove(files.load(one=loose, wall=deny)) == ()
    asked = files.prover.asked
    more = "".join(f"allow more{n}: do on thing\n    when resource.open\n\n" for n in range(40))
    assert files.prover.prove(files.load(two="api things\n\n" + more)) == ()
    assert (asked, files.prover.asked) == (2, 0)


def test_denies_that_keep_a_promise_for_some_allows_only() -> None:
    files = Set()
    deny = "api things\n\ndeny wall: any on thing\n    when resource.open\n"
    half = ONE.replace("scope use", "scope use or resource.open")
    allowed = TWO.replace("scope run", "scope run or not resource.open")

    assert files.prover.prove(files.load(one=half, wall=deny)) == ()
    assert files.prover.asked == 3
    assert files.prover.prove(files.load()) == ()
    assert files.prover.asked == 0
    assert files.prover.prove(files.load(two=TWO.replace("when", "when resource.open or"))) == ()
    assert files.prover.asked == 2, "alone and with the denies, which both actions have"
    (found,) = files.prover.prove(files.load(two=allowed, wall=deny.replace("deny wall", "deny w")))
    assert found.code == "P7001", "a rule of which nothing is known breaks it"


def test_a_reason_of_one_rule_is_none_of_a_rule_that_lacks_it() -> None:
    """Sixteen rules are asked together, and all later ones are covered but the last."""
    files = Set()
    many = "".join(
        f"allow many{n}: do on thing\n    when scope use and resource.open\n\n" for n in range(40)
    )
    last = "allow zero: do on thing\n    when scope other and resource.open\n"
    text = HEAD.replace("scope run", 'scope other "Other"\nscope run', 1)

    (found,) = files.prover.prove(files.load(head=text, one=f"api things\n\n{many}{last}"))
    assert found.code == "P7001"
    assert "by zero" in found.counterexample


def test_many_rules_with_a_reason_of_their_own() -> None:
    files = Set()
    head = HEAD.replace("open: bool?", "open: bool?\n    size: int?")
    head += "\nprove large: never allow do on thing\n    when resource.size <= 3\n"
    head += "    unless resource.size is missing\n"
    rules = [
        f"allow own{n:02}: do on thing\n    when scope use and resource.size > {n}\n\n"
        for n in range(3, 60)
    ]
    kept = "api things\n\n" + "".join(rules)
    broken = kept + rules[0].replace("own03", "small").replace("> 3", "> 2")

    assert files.prover.prove(files.load(head=head, one=kept, two="api things\n")) == ()
    assert files.prover.asked == 3, "the scope, a few of the sizes, and all others at once"
    assert files.prover.prove(files.load()) == ()
    assert files.prover.asked == 0
    (found,) = files.prover.prove(files.load(one=broken))
    assert (found.promise, found.code) == ("large", "P7001")
    assert "by small" in found.counterexample
    one = broken.replace("> 2", "> 58").replace("> 59", "> 0")
    assert [one.promise for one in files.prover.prove(files.load(one=one))] == ["large"]


def test_what_changes_often_is_forgotten_some_time() -> None:
    files = Set()
    files.prover.prove(files.load())
    memory = files.prover._memory
    memory._basis = -_SPARE
    files.prover.prove(files.load())
    assert files.prover._memory is not memory
    assert files.prover.prove(files.load()) == ()
    assert files.prover.asked == 1


def test_what_stays_undecided_is_an_error() -> None:
    fields = "\n".join(f"    n{one}: int" for one in range(12))
    apart = " and ".join(
        f"resource.n{one} != resource.n{other}" for one in range(12) for other in range(one)
    )
    within = " and ".join(f"resource.n{one} > 0 and resource.n{one} < 12" for one in range(12))
    files = Set()
    files.prover = Prover(budget=300)
    holes = f"\nresource hole {{\n{fields}\n    actions dig\n}}\n"
    rules = (
        f"\nallow digs: dig on hole\n    when {apart} and {within}\n"
        "\nprove never-full: never allow dig on hole\n"
    )

    (found,) = files.prover.prove(files.load(head=HEAD + holes + rules))

    assert found.code == "P7002"
    assert found.notes == ("`dig` on `hole`: undecided after 300 conflicts of the solver",)


def test_a_claim_of_a_wrong_type_is_said_in_words() -> None:
    files = Set()
    claimed = HEAD.replace("resource thing", "claim team: string?\n\nresource thing", 1)
    one = ONE.replace("when scope use", "when scope use\n    unless token.team is missing")
    promise = "\nprove known: never allow do on thing\n    when not (token.team is present)\n"

    (found,) = files.prover.prove(files.load(head=claimed + promise, one=one))

    assert found.code == "P7001"
    assert found.promise == "known"
