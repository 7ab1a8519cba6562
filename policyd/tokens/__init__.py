"""Bytes to a verified access token.

Input: the text of a token. Output: a `VerifiedToken`, or a `TokenRefused` that names the first
step of validation that failed. `pipeline.PIPELINE` lists the steps in order.

This module imports nothing, so that importing only the models does not load cryptography:

- `model`: the models of tokens for the rest of policyd
- `refusals`: one exception for each reason
- `details`: how a refusal quotes a token, so that a log can mask it
- `jws`: the bytes of a token, read strictly, and signatures
- `minting`: keys and tokens for development and tests
- `settings`: issuers, dialects, endpoints and proofs as they are configured, checked
- `https`: requests to issuers, and the documents that name their endpoints
- `claims`: the meaning of a token's claims, by the dialect of its issuer
- `keys`: the keys of issuers, and their renewal
- `endpoints`: endpoints of issuers, and a cache of their answers
- `introspection`, `userinfo`: answers of issuers about opaque tokens and about users
- `proof`: proofs that a sender holds the key of its token
- `revocation`: the revocation lists
- `trust`: the issuers in use, and the other inputs of verification
- `steps`, `pipeline`: the steps of verification, and their order
- `assembly`: from settings to issuers in use
- `validator`: `Validator`, the entry point
- `inspection`: the result of every step for one token, for people

A module or package imports only those that the contract of tokens in `pyproject.toml` has below it.
"""
