"""Policies of a Git repository: fetched by a process of its own, then checked object by object.

`source` is the source, `settings` what it is told. `helper` starts the process, `fetching` is it.
`objects` reads git's objects, and `tree` the files of a commit. Only `fetching` needs dulwich.
"""
