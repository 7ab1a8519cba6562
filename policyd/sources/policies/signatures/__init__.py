"""Verifies who signed a commit, a tag or a bundle, by allowed SSH keys and OpenPGP certificates.

`trust` holds the allowed signers. `verifying` selects the module for a signature's kind: `ssh`,
with the list that `allowed_signers` reads, or `openpgp`.
"""
