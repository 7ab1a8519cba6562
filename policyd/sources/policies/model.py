"""The interface of every source of policies: one immutable set of files, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from policyd.diagnostics import Diagnostic, Source
from policyd.errors import PolicydError
from policyd.sources.policies.steps import Step


class Provenance(msgspec.Struct, frozen=True):
    """Where a set came from: the `kind` of source, such as `directory`, and the place in it.

    Where the source has commits: the `commit`, in full, the `ref` that led to it, the folder
    `path` in its tree, and the `signer`, whom a signature was verified to be of.
    """

    kind: str
    place: str
    commit: str = ""
    ref: str = ""
    path: str = ""
    signer: str = ""

    @property
    def short(self) -> str:
        """A few words for it."""
        return f"commit {self.commit[:12]}" if self.commit else self.place

    @property
    def within(self) -> str:
        """What names of files are relative to, as `git show` takes it; empty without a commit."""
        return f"{self.commit[:12]}:{self.path}" if self.commit else ""

    def __str__(self) -> str:
        """The words for it in messages."""
        return f"commit {self.commit}" if self.commit else self.place


class PoliciesUnreadable(PolicydError):
    """There is no policy set: nothing can be read, it is too large, or it keeps changing.

    `step` is where it ended, `provenance` what it was about, where that is known.
    """

    def __init__(
        self, problem: str, step: Step = Step.READ, provenance: Provenance | None = None
    ) -> None:
        super().__init__(problem)
        self.step = step
        self.provenance = provenance


class PolicyFiles(msgspec.Struct, frozen=True):
    """One state of a source. `digest` stands for all that follows from it, findings included.

    `diagnostics` are the findings about names and bytes; where they are errors, the sources are fit
    to be shown but not to be loaded. `tests` are the files of tests, where they were asked for.
    """

    sources: tuple[Source, ...]
    diagnostics: tuple[Diagnostic, ...]
    digest: str
    provenance: Provenance
    tests: tuple[Source, ...] = ()


class LookFigures(msgspec.Struct, frozen=True):
    """How looking for changes goes.

    `looked_at` is when a look last came to an end, in seconds since the epoch, 0 for never;
    `failed` counts looks that did not tell what is there; `problem` is why the last one did not.
    `succeeded_at` is when one last did, or 0.
    """

    looked_at: float = 0.0
    failed: int = 0
    problem: str | None = None
    succeeded_at: float = 0.0


Changed = Callable[[PolicyFiles | PoliciesUnreadable], None]


class PolicySource(Protocol):
    """Where policies come from. `changed` is told of each state that differs from the one before,
    or, once, why there is none."""

    @property
    def figures(self) -> LookFigures:
        """How looking goes; may be asked from any thread, and never waits."""

    def read(self) -> PolicyFiles:
        """Return the state of now. Raises `PoliciesUnreadable`."""

    def look(self, changed: Changed) -> None:
        """Look once, and tell of a change. What it raises is a defect."""

    def watch(self, changed: Changed) -> None:
        """Look again and again, from a thread of the source's own, which no error ends."""

    def stop(self) -> None:
        """Watch no more."""

    def soon(self) -> None:
        """Let the next look come at once. Never waits."""

    def serves(self, provenance: Provenance) -> None:
        """Note that a state serves from now on."""

    def recall(self, name: str) -> PolicyFiles:
        """Return an earlier state by its name. Raises `PoliciesUnreadable`."""

    @property
    def named(self) -> str:
        """What the source has now, where it has names for that; else empty."""
