"""What asks in the process itself, around parts that a test has made."""

from __future__ import annotations

from functools import cache

from policyd.audit import Mask
from policyd.client.credentials import bare_token
from policyd.config.request_limits import RequestLimits
from policyd.decision.engine import Engine
from policyd.diagnostics import Source
from policyd.embedded.asks import Asks
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.pdp.answering import Answering, Decider
from policyd.tokens.model import ResourceServer
from policyd.tokens.validator import Validator
from tests.support.deciding import KeptLog


def in_process(decider: Decider, log: KeptLog | None = None) -> Asks:
    """Return what asks `decider`, as `policyd.Embedded` does."""
    answering = Answering(decider, log or KeptLog())
    return Asks(answering, Mask(), RequestLimits(), timeout=5.0)


_HUGE = 16 * 1024
THING = ("thing", "", {"open": True})


def says_the_same(
    text: str, validator: Validator, api: ResourceServer, now: float, reason: str | None
) -> None:
    """Ask about a token as a service asks that decides in its own process: a `Witness`.

    What such a service takes off a token, white space and `Bearer `, is no part of an attack. Huge
    ones are left out, since the steps that they take are counted.
    """
    if len(text) > _HUGE or " " in text or bare_token(text) != text:
        return
    engine = Engine(validator, lambda: now)
    engine.load(_policies(api))
    answer = in_process(engine).check(text, api=api.name, action="look", resource=THING)
    assert (answer.allowed, answer.reason) == (reason is None, reason or "ALLOWED")


@cache
def _policies(api: ResourceServer) -> PolicySet:
    """Return a policy that allows whatever comes with a token that is accepted."""
    audiences = "\n".join(f'audience "{one}"' for one in sorted(api.audiences))
    text = (
        f"api {api.name}\n\n{audiences}\n\nresource thing {{\n    open: bool\n"
        "    actions look\n}\n\nallow all: look on thing\n    when resource.open\n"
    )
    loaded = load([Source("any.policy", text)])
    assert loaded.policies is not None, [one.headline for one in loaded.diagnostics]
    return loaded.policies
