"""Policies in a bundle: one file, built from a commit, signed, and pulled by many daemons.

`manifest` describes a bundle, `archive` reads and writes its bytes. `source` is the source,
`settings` its settings. `fetching` is the process that fetches, `helper` its request and answer.
"""
