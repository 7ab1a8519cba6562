"""Slips of the encoder, one at a time: the checks of the encoding notice each.

A slip is a change of the text of one method. What the encoder says is trusted by all that proves,
so the tests of it are tested themselves.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import NamedTuple

import pytest

from policyd.prover import axioms, questions
from policyd.prover.circuit import Circuit
from policyd.prover.formulas import Formulas
from policyd.prover.questions import breach
from policyd.prover.sets import Sets
from policyd.prover.solver import solve
from policyd.prover.texts import Texts
from policyd.prover.universe import Universe
from policyd.prover.values import Addresses, Numbers
from tests.support.promises import PROMISES, asked


class Slip(NamedTuple):
    """In a function of an owner, a text that becomes another."""

    owner: object
    name: str
    right: str
    wrong: str

    @property
    def likely(self) -> str:
        """What a promise that notices speaks of: these are asked first, to save time."""
        return _LIKELY.get(self.name, "")


SLIPS = (
    # Three values.
    Slip(Formulas, "_known_and", "self._circuit.all((*known, -truth))", "-truth"),
    Slip(Formulas, "_known_and", "self._circuit.all((*known, truth))", "truth"),
    Slip(
        Formulas, "_made", "Truths(inner.fails, inner.holds)", "Truths(-inner.holds, inner.holds)"
    ),
    Slip(
        Formulas,
        "_made",
        "circuit.any(one.fails for one in each)",
        "circuit.all(one.fails for one in each)",
    ),
    Slip(Formulas, "_test", "Truths(seen.known, seen.missing)", "Truths(seen.known, -seen.known)"),
    Slip(
        Formulas,
        "_test",
        "Truths(universe.user, universe.application)",
        "Truths(universe.user, -universe.user)",
    ),
    # Lists.
    Slip(Formulas, "_some", "circuit.any((-there, inner.fails))", "inner.fails"),
    Slip(
        Formulas, "_some", "circuit.all((seen.known, circuit.any(holding)))", "circuit.any(holding)"
    ),
    Slip(questions, "quantified", "found.get(place, 0) + 1", "1"),
    Slip(
        Universe, "addressed", "self.circuit.any((locations.missing, named))", "locations.missing"
    ),
    Slip(Universe, "_name", "-is_object, -element.exists, -other.exists, -same", "1"),
    # Values.
    Slip(Texts, "_starting", "if one.startswith(prefix)", ""),
    Slip(Texts, "_ending", "if text.endswith(suffix)", "if text.startswith(suffix)"),
    Slip(Texts, "_representatives", "taken[kind] < self._made", "taken[kind] < 0"),
    Slip(Texts, "close", "len(self._codes) + self._made", "len(self._codes)"),
    Slip(Numbers, "within", "or_equal=or_equal", "or_equal=False"),
    Slip(Numbers, "_free", "self._high - self._low", "(1 << self._bits) - 1"),
    Slip(Circuit, "less", "self.all((-x, y))", "self.all((x, -y))"),
    Slip(Addresses, "_in", "self._circuit.all((family, same))", "same"),
    Slip(Formulas, "_between", "now, before", "now, after"),
    # Sets and scopes.
    Slip(Sets, "_equal_members", "if equal != FALSE:", "if False:"),
    Slip(
        Sets,
        "_meaning",
        "circuit.any((-self.has(of, term), self.has(members, term)))",
        "self.has(members, term)",
    ),
    Slip(Sets, "_witness", "self._bit(_some_set(comparison).number, witness)", "pass"),
    Slip(Sets, "_granted", "self._bit(number, self._texts.constant(scope))", "-1"),
    Slip(Sets, "has", "(own, self._texts.one_of(term, members.keeps))", "(own,)"),
    # What tokens and JSON can be.
    Slip(Universe, "_within", "self.circuit.require(-outer.known, -inner.known)", "pass"),
    Slip(Universe, "_couple", "self.circuit.require(-one.known, -other.known)", "pass"),
    Slip(Universe, "fact", "circuit.all((known, own))", "known"),
    Slip(axioms, "_is_name", "return place.holder == TOKEN or", "return"),
    Slip(axioms, "_well_formed", "universe.circuit.any((seen.known, seen.missing))", "1"),
    Slip(axioms, "_demanded", "return known\n", "return 1\n"),
    Slip(axioms, "finish", "universe.circuit.require(-literal, -bit)", "pass"),
    Slip(axioms, "_times", "-variable.known, later", "1"),
)


_LIKELY = {
    **dict.fromkeys(("_some", "quantified", "_name"), "token.list"),
    "addressed": "authorization_details",
    **dict.fromkeys(("_starting", "close"), "starts with"),
    "_ending": "ends with",
    "_representatives": "resource.kind",
    **dict.fromkeys(("within", "_between", "_times"), "within"),
    "_free": "resource.number",
    "_in": "token.ip",
    **dict.fromkeys(("_equal_members", "_meaning", "_witness", "has"), "token.texts"),
    "_granted": "scope all",
    "_within": "token.inner",
    "_couple": "token.again",
    "fact": "token.theirs",
    "_is_name": "token.subject",
    "_well_formed": "resource.text",
    "_demanded": "token.must",
    "finish": "token.audience",
}


@pytest.mark.parametrize("slip", SLIPS, ids=lambda one: f"{one.name}: {one.wrong}")
def test_slip_is_noticed(slip: Slip, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(slip.owner, slip.name)
    source = textwrap.dedent(inspect.getsource(function))
    assert slip.right in source, "the list of slips is about the code as it is"
    namespace: dict[str, object] = {}
    wrong = f"from __future__ import annotations\n{source.replace(slip.right, slip.wrong)}"
    module = sys.modules[function.__module__]
    exec(compile(wrong, module.__name__, "exec"), module.__dict__ | {}, namespace)
    monkeypatch.setattr(slip.owner, slip.name, namespace[slip.name])

    assert _is_noticed(slip.likely)


def _is_noticed(likely: str = "") -> bool:
    ordered = sorted(PROMISES, key=lambda one: likely not in f"{one.allowed} {one.never}")
    try:
        for promise in ordered:
            question, wanted = breach(*asked(promise))
            if (solve([*question.circuit.clauses, (wanted,)]) is None) is not promise.holds:
                return True
    except Exception:
        return True
    return False


def test_nothing_is_noticed_where_there_is_no_slip() -> None:
    assert not _is_noticed()
