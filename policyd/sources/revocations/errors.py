"""The errors of lists of revocations outside this process."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.diagnostics import Diagnostic
from policyd.errors import PolicydError


class RevocationsUnreadable(PolicydError):
    """The source cannot be reached or read. It may work at the next attempt."""


class RevocationsUnwritable(PolicydError):
    """A revocation was not written, or its outcome is unknown."""


class ListMissing(PolicydError):
    """The list is missing or incomplete, so it is unknown which tokens are revoked."""


class ListExists(PolicydError):
    """The list exists already."""


class RevocationsInvalid(PolicydError):
    """A file holds lines that are not revocations. The text names the first one."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = diagnostics[0].primary
        assert first is not None
        place = f"{first.source.name}:{first.source.position(first.span.start).line}"
        super().__init__(f"{place}: {diagnostics[0].headline}")
        self.diagnostics = tuple(diagnostics)
