"""The steps from the text of a token to a `VerifiedToken`: one table, in order.

The order is part of the contract: the earliest step that fails names the reason. Whatever verifies
derives its sequence from this table (`order_of`): the whole of it for a token not seen before, what
may have changed for one that the cache holds, what an issuer's word does not settle for an opaque
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from policyd.tokens.steps import (
    Candidate,
    UseCheck,
    binding_at_use,
    check_algorithm,
    check_api,
    check_audience,
    check_audience_again,
    check_binding,
    check_fresh_again,
    check_kind,
    check_revocation,
    check_signature,
    check_times,
    check_times_again,
    decode,
    find_issuer,
    find_key,
    read_facts,
    read_header,
    read_payload,
    recall_kind,
    revocation_at_use,
    split,
)
from policyd.tokens.trust import Trust


class Compared(NamedTuple):
    """A step that is run again, as `run`, where the cache cannot tell that it would pass.

    For what depends on the clock, the freshness of the keys, and the API, and on nothing else: the
    cache compares these at one glance (`validator`). The candidate has what the cache kept.
    """

    run: Callable[[Candidate], None]


class AtEachUse(NamedTuple):
    """A step that is checked at each use, by what `of` makes for a `Trust`.

    `None` says that under it nothing could fail.
    """

    of: Callable[[Trust], UseCheck | None]


class Step(NamedTuple):
    """One step. `needs` names the steps without whose findings it cannot run at all.

    `recheck` says how it counts for a token that was verified before: `None` where the bytes and
    the keys settle it for good. `opaque` steps judge what an issuer says of an opaque token, too.
    """

    name: str
    run: Callable[[Candidate], None]
    recheck: Compared | AtEachUse | None
    needs: tuple[str, ...] = ()
    opaque: bool = False


PIPELINE: Final[tuple[Step, ...]] = (
    Step("segments", split, None),
    Step("base64url", decode, None, ("segments",)),
    Step("header", read_header, None, ("base64url",)),
    Step("payload", read_payload, None, ("base64url",)),
    Step("issuer", find_issuer, None, ("payload",)),
    Step("api", check_api, Compared(check_api), ("issuer",)),
    Step("algorithm", check_algorithm, None, ("header", "issuer")),
    Step("key", find_key, Compared(check_fresh_again), ("header", "issuer")),
    Step("signature", check_signature, None, ("key",)),
    Step("kind", check_kind, Compared(recall_kind), ("header", "issuer"), opaque=True),
    Step("time", check_times, Compared(check_times_again), ("issuer",), opaque=True),
    Step("audience", check_audience, Compared(check_audience_again), ("issuer",), opaque=True),
    Step("facts", read_facts, None, ("header", "time", "audience"), opaque=True),
    Step("binding", check_binding, AtEachUse(binding_at_use), ("facts",), opaque=True),
    Step("revocation", check_revocation, AtEachUse(revocation_at_use), ("facts",), opaque=True),
)


class Order(msgspec.Struct, frozen=True, eq=False):
    """The steps as each path runs them.

    `anew` for a JWT not seen before, `opaque` for what an issuer says of an opaque token; for one
    that the cache holds, `compared` where a glance does not settle them, and then `at_each_use`.
    """

    anew: tuple[Callable[[Candidate], None], ...]
    opaque: tuple[Callable[[Candidate], None], ...]
    compared: tuple[Callable[[Candidate], None], ...]
    at_each_use: tuple[UseCheck, ...]


def order_of(steps: Sequence[Step], trust: Trust) -> Order:
    """Derive what each path runs from the one table. Steps at each use stand behind all compared.

    Raises `ValueError` where they do not: the first failure would depend on the path.
    """
    rechecks = [step.recheck for step in steps if step.recheck is not None]
    compared = [recheck for recheck in rechecks if isinstance(recheck, Compared)]
    if compared != rechecks[: len(compared)]:
        raise ValueError("a step that is checked at each use stands before one that is compared")
    made = [recheck.of(trust) for recheck in rechecks if isinstance(recheck, AtEachUse)]
    return Order(
        anew=tuple(step.run for step in steps),
        opaque=tuple(step.run for step in steps if step.opaque),
        compared=tuple(recheck.run for recheck in compared),
        at_each_use=tuple(check for check in made if check is not None),
    )
