"""Who signed a commit, a tag or a bundle: by an SSH key or an OpenPGP certificate that is allowed.

`trust` says whom to believe, `verifying` asks the kind that a signature is of: `ssh`, by the list
that `allowed_signers` reads, or `openpgp`.
"""
