"""The table `[policies]` of `policyd.toml`, and those in it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from policyd.config.fields import PathText, Table
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.directory import BYTES
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.watcher import DEFAULTS as DIRECTORY
from policyd.sources.policies.watcher import LONGEST_SETTLE

#: What holds where the file says nothing.
GIT = GitSettings(url="", ref="")
BUNDLE = BundleSettings(name="")


class Git(Table, frozen=True):
    """A repository that policies come from; see `policyd.sources.policies.git.GitSettings`.

    `url` is an `https:`, `ssh:` or `file:` URL; `ref` a branch, a tag, or a commit in full, which
    pins; `path` the folder of the policies in it. Times are in seconds. With one of the files that
    name signers, every commit that serves must be signed.
    """

    url: str
    ref: str
    path: PathText | None = None
    interval: Annotated[float, Meta(ge=1, le=86_400)] = GIT.interval
    timeout: Annotated[float, Meta(ge=1, le=3600)] = GIT.timeout
    username: str = ""
    password_file: PathText | None = None
    ssh_key_file: PathText | None = None
    known_hosts_file: PathText | None = None
    ca_file: PathText | None = None
    allowed_signers_file: PathText | None = None
    revoked_keys_file: PathText | None = None
    openpgp_keyring_file: PathText | None = None
    match_committer: bool = True
    allow_rewind: bool = False
    max_bytes: Annotated[int, Meta(ge=1024, le=BYTES)] = GIT.max_bytes
    max_files: Annotated[int, Meta(ge=1, le=10_000)] = GIT.max_files
    max_fetch_bytes: Annotated[int, Meta(ge=1024, le=2**34)] = GIT.max_fetch_bytes


class Shadow(Table, frozen=True):
    """Policies that may serve next: of another `ref` of the repository, in the folder `path`, or in
    another `bundle`, at a URL or in a file.

    They decide the share `sample` of all checks too, and what they decide in another way is told.
    """

    ref: str | None = None
    path: PathText | None = None
    bundle: PathText | None = None
    sample: Annotated[float, Meta(gt=0, le=1, description="a share above 0, at most 1")] = 0.01


class Bundle(Table, frozen=True):
    """A bundle that policies come from; see `policyd.sources.policies.bundle.BundleSettings`.

    It is at an `https:` URL or in a file, `path`, and must be for `name`. Times are in seconds.
    With `allowed_signers_file`, it must be signed.
    """

    name: str
    url: str | None = None
    path: PathText | None = None
    interval: Annotated[float, Meta(ge=1, le=86_400)] = BUNDLE.interval
    timeout: Annotated[float, Meta(ge=1, le=3600)] = BUNDLE.timeout
    long_poll: Annotated[float, Meta(ge=0, le=3600)] = BUNDLE.long_poll
    username: str = ""
    password_file: PathText | None = None
    token_file: PathText | None = None
    ca_file: PathText | None = None
    allowed_signers_file: PathText | None = None
    revoked_keys_file: PathText | None = None
    max_bytes: Annotated[int, Meta(ge=1024, le=BYTES)] = BUNDLE.max_bytes
    max_files: Annotated[int, Meta(ge=1, le=10_000)] = BUNDLE.max_files


class Policies(Table, frozen=True):
    """`path` is the directory of the policy files; or `git` or `bundle` is where they are, and
    `path` where tools find a working copy.

    A change is read when nothing has changed for `settle` seconds. With `follow_outside`, links may
    lead out of the directory. With `require_proofs`, a set with a promise (`prove`) that is broken
    or undecided does not serve; else that is a warning. With `require_tests`, a set whose tests do
    not pass does not serve; without `allow_api_removal`, neither does one that has an API no more.
    `state` is the folder for what survives a restart. What serves is too old after `max_staleness`
    seconds without word of its source; 0 means never.
    """

    path: PathText | None = None
    settle: Annotated[float, Meta(ge=0, le=LONGEST_SETTLE)] = DIRECTORY.settle
    follow_outside: bool = DIRECTORY.follow_outside
    require_proofs: bool = True
    require_tests: bool = False
    allow_api_removal: bool = False
    state: PathText | None = None
    max_staleness: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    git: Git | None = None
    shadow: Shadow | None = None
    bundle: Bundle | None = None
