"""The daemon's answers are kept no longer than its issuer's settings vouch for the token."""

from __future__ import annotations

import time

from tests.support.daemon import ISSUER, Caller, Site, access_token, check_request


def test_an_answer_may_be_kept_until_the_token_is_too_old(site: Site) -> None:
    issued_at = int(time.time()) - 10
    site.configure(
        "max_decision_age = 3600",
        issuers=f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
        "max_token_age = 600\n",
    )
    request = check_request(access_token(iat=issued_at, exp=issued_at + 3000))

    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        answer = caller.check(request)

    assert answer.allowed
    assert answer.cacheable_until.seconds == issued_at + 600
