"""Bytes to a verified access token.

In comes the text of a token; out goes a `VerifiedToken`, or a `TokenRefused` that names the first
step of validation that failed. The steps stand, in order, in `pipeline.PIPELINE`.

This package imports nothing, so that whoever needs the models alone does not load cryptography:

- `model`: what the rest of policyd knows of tokens
- `refusals`: one exception a reason
- `issuers`: the settings of an issuer, checked
- `validator`: `Validator`, the entry point
- `dialects`: how each make of issuer writes its tokens
- `keys`: the keys of issuers, kept fresh
- `proof`: that a sender holds the key its token is bound to
- `asking`: what only the issuer knows, of opaque tokens and users
- `revocation`: what was revoked
- `inspection`: every step judged over one token, for people
- `minting`: keys and tokens for development and tests
"""
