"""What decides at one time: programs, and what answers and challenges say of each API.

A reload replaces a snapshot, and changes none.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from policyd.decision.challenge import Protection
from policyd.program.index import ApiProgram, Program


class Point(msgspec.Struct, frozen=True, eq=False):
    """An API where it is asked at: its program, and what its answers and challenges say of it.

    `name` is the API's, whatever it is asked at.
    """

    name: str
    program: ApiProgram
    revision: str
    protection: Protection


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """All that decides, as one immutable value.

    `protections` are what the challenges of each API say of it, by its name; `points` are the APIs
    as a request names them.
    """

    program: Program
    protections: Mapping[str, Protection]
    points: Mapping[str, Point]

    @classmethod
    def of(cls, program: Program, protections: Mapping[str, Protection]) -> Snapshot:
        """Put a snapshot together."""
        points = {
            name: Point(api.api.name, api, program.revision, protections[api.api.name])
            for name, api in program.by_name_or_audience.items()
        }
        return cls(program, protections, points)

    @property
    def revision(self) -> str:
        """The digest of the policies that decide."""
        return self.program.revision
