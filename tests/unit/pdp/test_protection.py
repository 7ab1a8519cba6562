"""What challenges offer follows from what the issuers of an API are set to."""

from __future__ import annotations

import pytest

from policyd.decision.challenge import Protection, Scheme
from policyd.pdp.protection import ConfiguredChallenger
from tests.support.program import policies
from tests.support.tokens import settings

(SHOP,) = policies(
    'api shop\naudience "https://shop.example/"\nresource thing {\n    actions look\n}\n'
    "allow look: look on thing\n    when true\n"
).apis.values()


@pytest.mark.parametrize(
    ("required", "offered"),
    [
        ([False], ("Bearer",)),
        (["mtls"], ("Bearer",)),
        (["dpop"], ("DPoP",)),
        (["any"], ("Bearer", "DPoP")),
        (["dpop", False], ("Bearer", "DPoP")),
        (["dpop", "mtls"], ("Bearer", "DPoP")),
        (["dpop", "dpop"], ("DPoP",)),
        ([], ("Bearer",)),
    ],
)
def test_what_is_offered(required: list[object], offered: tuple[Scheme, ...]) -> None:
    issuers = [settings(require_binding=each) for each in required]
    challenger = ConfiguredChallenger(lambda: issuers, ("ES256",))
    assert challenger.protection(SHOP) == Protection("shop", offered, ("ES256",))


def test_only_issuers_that_may_speak_for_the_api_count() -> None:
    issuers = [
        settings(require_binding="dpop", apis=frozenset({"other"})),
        settings(require_binding=False, apis=frozenset({"shop"})),
    ]
    assert ConfiguredChallenger(lambda: issuers).protection(SHOP).schemes == ("Bearer",)
    issuers = [settings(require_binding="dpop", apis=frozenset({"other", "shop"}))]
    assert ConfiguredChallenger(lambda: issuers).protection(SHOP).schemes == ("DPoP",)


def test_names_the_metadata_and_the_nonce() -> None:
    challenger = ConfiguredChallenger(
        lambda: [settings()],
        metadata_url=lambda api: f"https://{api.name}.example/",
        dpop_nonce=lambda now: f"nonce-{now}",
    )
    assert challenger.protection(SHOP).metadata == "https://shop.example/"
    assert challenger.dpop_nonce(7) == "nonce-7"
    assert not challenger.protection(SHOP).tells_details


def test_tells_of_authorization_details_where_the_configuration_says_so() -> None:
    assert ConfiguredChallenger(list, tells_details=True).protection(SHOP).tells_details


def test_the_issuers_are_those_of_the_moment() -> None:
    issuers = [settings()]
    challenger = ConfiguredChallenger(lambda: issuers)
    assert challenger.protection(SHOP).schemes == ("Bearer",)
    issuers[:] = [settings(require_binding="dpop")]
    assert challenger.protection(SHOP).schemes == ("DPoP",)
