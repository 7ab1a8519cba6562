"""What was proven of a rule is remembered, and what is found about promises."""

from __future__ import annotations

from policyd.diagnostics import Source
from policyd.language import Loader
from policyd.language.policy import PolicySet
from policyd.prover.promises import Prover

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
    assert files.prover.asked == 1
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
