"""The request to the process that fetches a bundle, and its answer.

The process writes two files to a folder, the bundle and its signature, as they came. Its answer is
not trusted: the source verifies and reads the files itself.
"""

from __future__ import annotations

from typing import Final

from policyd.sources.policies import helper

#: The module that the process runs.
FETCHING: Final = "policyd.sources.policies.bundle.fetching"
BUNDLE_FILE: Final = "bundle"
SIGNATURE_FILE: Final = "signature"


class Request(helper.Request, frozen=True, kw_only=True):
    """The place to fetch from, a `url` or a `path`.

    `etag` identifies the `known` bundle: if the server still has it, nothing is fetched. The server
    may `wait` for so many seconds until it has another one. With `signed`, the signature is fetched
    too.
    """

    url: str = ""
    path: str = ""
    etag: str = ""
    known: str = ""
    wait: float = 0.0
    signed: bool = True
    username: str = ""
    password: str = ""
    token: str = ""
    ca_file: str = ""


class Answer(helper.Answer, frozen=True, kw_only=True):
    """The SHA-256 of the bundle, as its `id`, and that of its signature, if there is one.

    With `unchanged`, it is the known bundle, and nothing was fetched. `label` is the name that the
    manifest gives. `etag` identifies the bundle at the next look. `waited` says whether the server
    delayed its answer.
    """

    signature: str = ""
    label: str = ""
    etag: str = ""
    unchanged: bool = False
    waited: bool = False
