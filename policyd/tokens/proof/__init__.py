"""Proofs of possession: what a sender shows besides a token that is bound to its key.

`dpop` puts the parts together: `key` reads the key that a proof carries, `uri` compares the request
with the one that the proof is for, `nonces` are policyd's own, `replay` remembers what was shown.
"""
