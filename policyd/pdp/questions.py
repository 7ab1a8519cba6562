"""What a question may hold, whatever it comes by, and how its proof is told from others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

#: Characters of each text of a request.
LONGEST: Final[Mapping[str, int]] = {
    "api": 2048,
    "action": 256,
    "resource.type": 256,
    "resource_type": 256,
    "resource.id": 2048,
    "request_id": 512,
    "id": 512,
    "assumed_unknown": 256,
    "proof.http_method": 64,
    "proof.http_uri": 8192,
    "proof.client_certificate_sha256": 128,
}
#: DPoP proofs: a sender may add header fields, and is told by a decision that one is right.
MOST_PROOFS: Final = 100
#: Names of facts that are assumed unknown; `resource` names any number of them.
MOST_NAMES: Final = 256

_calls = itertools.count()


def proof_of(request_id: str) -> str:
    """Return what the proof of a question is known by: one without a name is told from all others.

    See `policyd.tokens.model.SenderProof.request_id`.
    """
    return f"request {request_id}" if request_id else f"call {next(_calls)}"
