"""Bytes to a verified access token.

In comes the text of a token; out goes a `VerifiedToken`, or a `TokenRefused` that names the first
step of validation that failed. The steps stand, in order, in `pipeline.PIPELINE`.

This package imports nothing, so that importing only the models does not load cryptography:

- `model`: what the rest of policyd knows of tokens
- `refusals`: one exception a reason
- `details`: how a refusal quotes a token, so that a log can mask it
- `jws`: the bytes of a token, read strictly, and signatures
- `minting`: keys and tokens for development and tests
- `settings`: issuers, dialects, endpoints and proofs as they are configured, checked
- `https`: requests to issuers, and the documents that name their endpoints
- `claims`: what the claims of a token say, by the dialect of its issuer
- `keys`: the keys of issuers, kept fresh
- `endpoints`: endpoints of issuers, and their answers kept
- `introspection`, `userinfo`: what only the issuer knows, of opaque tokens and of users
- `proof`: that a sender holds the key its token is bound to
- `revocation`: what was revoked
- `trust`: whom to believe: issuers at work, and what else judges a token
- `steps`, `pipeline`: what each step of verification does; their order
- `assembly`: from settings to issuers at work
- `validator`: `Validator`, the entry point
- `inspection`: every step judged over one token, for people

A module or package imports only those that the contract of tokens in `pyproject.toml` has below it.
"""
