"""Proofs: questions about all tokens and requests at once, answered exactly by a SAT solver.

A rule's formula is encoded as two circuits, *holds* and *fails*; where neither is true, it is
unknown (docs/semantics.md). Rules can distinguish only finitely many states of the facts
(`universe`), so a propositional solver decides each question (`questions`). Every answer is
verified: a proof by checking its certificate (`certificate`), a refutation by asking the
interpreter and the compiled program (`witness`).
"""
