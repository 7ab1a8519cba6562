"""Everything that decides at one moment: programs, and what answers and challenges say of APIs.

A reload replaces the snapshot and never changes one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from policyd.decision.challenge import Protection
from policyd.program.index import ApiProgram, Program


class ProtectedApi(msgspec.Struct, frozen=True, eq=False):
    """An API as its requests need it: its program, and what answers and challenges say of it.

    `name` is the declared one, also where a request names the API by its audience. `commit` is the
    one that the policies came from, empty where they have none.
    """

    name: str
    program: ApiProgram
    revision: str
    protection: Protection
    commit: str = ""


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """Everything that decides, as one immutable value.

    `protections` are what the challenges of each API say of it, by its name; `apis` are
    the APIs by each name or audience that a request may give.
    """

    program: Program
    protections: Mapping[str, Protection]
    apis: Mapping[str, ProtectedApi]
    commit: str = ""

    @classmethod
    def of(
        cls, program: Program, protections: Mapping[str, Protection], commit: str = ""
    ) -> Snapshot:
        """Put a snapshot together."""
        apis = {
            name: ProtectedApi(
                api.api.name, api, program.revision, protections[api.api.name], commit
            )
            for name, api in program.by_name_or_audience.items()
        }
        return cls(program, protections, apis, commit)

    @property
    def revision(self) -> str:
        """The digest of the policies that decide."""
        return self.program.revision
