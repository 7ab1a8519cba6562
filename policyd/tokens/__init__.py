"""Bytes to a verified access token.

In comes the text of a token; out goes a `VerifiedToken`, or a `TokenRefused` that names the first
step of validation that failed. The steps stand, in order, in `pipeline.PIPELINE`.

This package imports nothing, so that whoever needs the models alone does not load cryptography:

- `model`: what the rest of policyd knows of tokens
- `refusals`: one exception a reason
- `issuers`: the settings of an issuer, checked
- `dialect_table`: how each make of issuer writes its tokens
- `validator`: `Validator`, the entry point
- `inspection`: every step judged over one token, for people
- `minting`: keys and tokens for development and tests
"""
