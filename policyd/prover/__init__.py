"""Proofs: questions about all tokens and requests at once, answered exactly by a SAT solver.

A rule's formula is encoded as two circuits, *holds* and *fails*; where neither is true, it is
unknown (docs/semantics.md). What facts can be is finite in all that rules can tell (`universe`), so
a propositional solver decides each question (`questions`). Neither side of an answer is believed
as it comes: a proof is believed once its certificate was checked (`certificate`), a refutation once
the interpreter and the compiled program agree with it (`witness`).
"""
