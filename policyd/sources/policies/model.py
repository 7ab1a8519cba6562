"""The interface of every source of policies: one immutable set of files, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from policyd.diagnostics import Diagnostic, Source
from policyd.errors import PolicydError
from policyd.sources.policies.steps import Step


class Provenance(msgspec.Struct, frozen=True):
    """The origin of a set: the `kind` of its source, such as `directory`, and its place.

    For sources with commits: the full `commit` id, the `ref` that named it, the folder `path` in
    its tree, and the verified `signer`. For bundles also: `name`, `sequence`, the time of creation,
    and the time when it expires, if it does.
    """

    kind: str
    place: str
    commit: str = ""
    ref: str = ""
    path: str = ""
    signer: str = ""
    name: str = ""
    sequence: int = 0
    created: datetime | None = None
    expires: datetime | None = None

    @property
    def label(self) -> str:
        """The name of a bundle, such as `orders@42`; empty for other sources."""
        return f"{self.name}@{self.sequence}" if self.name else ""

    @property
    def short(self) -> str:
        """A short description."""
        if self.label:
            return f"bundle {self.label}"
        return f"commit {self.commit[:12]}" if self.commit else self.place

    @property
    def source(self) -> Provenance:
        """Where it came from, whatever the commit and the signer."""
        return Provenance(self.kind, self.place, ref=self.ref, path=self.path)

    @property
    def within(self) -> str:
        """The prefix of file names: a commit in `git show`'s syntax, or a bundle; else empty."""
        return self.label or (f"{self.commit[:12]}:{self.path}" if self.commit else "")

    @property
    def named(self) -> str:
        """The name that the source has for this state; empty if its states have no names."""
        return self.label or self.commit

    @property
    def origin(self) -> str:
        """Subject and verb of a sentence about the source: "`main` names", "https://… has"."""
        return f"`{self.ref}` names" if self.ref else f"{self.place} has"

    def __str__(self) -> str:
        """The description that messages use."""
        if self.label:
            return f"bundle {self.label}" + (f" (commit {self.commit})" if self.commit else "")
        return f"commit {self.commit}" if self.commit else self.place


class PoliciesUnreadable(PolicydError):
    """A source has no policy set: it cannot be read, is too large, or keeps changing.

    `step` is the step that failed; `provenance` is the set that it was about, if known.
    """

    def __init__(
        self, problem: str, step: Step = Step.READ, provenance: Provenance | None = None
    ) -> None:
        super().__init__(problem)
        self.step = step
        self.provenance = provenance


class Limits(msgspec.Struct, frozen=True):
    """The limits of one state: the number of policy files, and their bytes together."""

    files: int
    bytes: int


class PolicyFiles(msgspec.Struct, frozen=True):
    """One state of a source. Equal digests mean equal files and findings.

    `diagnostics` are the findings about names and bytes; if one is an error, the sources can be
    shown in messages but not loaded. `tests` are the test files, if they were requested.
    """

    sources: tuple[Source, ...]
    diagnostics: tuple[Diagnostic, ...]
    digest: str
    provenance: Provenance
    tests: tuple[Source, ...] = ()


class LookFigures(msgspec.Struct, frozen=True):
    """The state of looking for changes.

    `looked_at` is when the last look ended, in seconds since the epoch, 0 for never; `failed`
    counts the failed looks; `problem` says why the last look failed. `succeeded_at` is when the
    last successful look ended, or 0.
    """

    looked_at: float = 0.0
    failed: int = 0
    problem: str | None = None
    succeeded_at: float = 0.0


Changed = Callable[[PolicyFiles | PoliciesUnreadable], None]


class PolicySource(Protocol):
    """A source of policies. It calls `changed` with each new state, or once with the reason why
    there is none."""

    @property
    def figures(self) -> LookFigures:
        """The state of looking. Callable from any thread; never blocks."""

    def read(self) -> PolicyFiles:
        """Return the current state. Raises `PoliciesUnreadable`."""

    def look(self, changed: Changed) -> None:
        """Look once, and report a change. An exception from here is a defect."""

    def watch(self, changed: Changed) -> None:
        """Look repeatedly, in a thread of the source; errors do not end it."""

    def stop(self) -> None:
        """Stop watching."""

    def soon(self) -> None:
        """Bring the next look forward to now. Never blocks."""

    def serves(self, provenance: Provenance) -> None:
        """Note the state that serves from now on."""

    def recall(self, name: str) -> PolicyFiles:
        """Return an earlier state by its name. Raises `PoliciesUnreadable`."""

    @property
    def source(self) -> Provenance:
        """Where its sets come from: the source of each one's provenance."""

    @property
    def named(self) -> str:
        """The name of the source's current state; empty if its states have no names."""
