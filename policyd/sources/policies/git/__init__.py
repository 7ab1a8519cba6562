"""Policies of a Git repository: fetched by a separate process, then checked object by object.

`source` is the source, `settings` its settings. `fetching` is the process that fetches, `helper`
its request and answer. `objects` reads git's objects, and `tree` the files of a commit. Only
`fetching` needs dulwich.
"""
