"""The daemon's issuers: whether they can be asked, and where calls wait meanwhile."""

from __future__ import annotations

import pytest

from policyd.config.findings import ConfigurationInvalid
from policyd.config.tables import Server
from policyd.pdp.issuers import check_later_issuers, open_waiting
from policyd.pdp.waiting import Waiting
from policyd.tokens.assembly import check_credentials
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from tests.support import tokens
from tests.support.asking import FakeAsk, asked_issuer
from tests.support.tokens import Clock


def test_credentials_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = asked_issuer(FakeAsk(), Clock())
    monkeypatch.setenv("POLICYD_TEST_SECRET", "secret")
    check_credentials([issuer, tokens.issuer()])
    monkeypatch.delenv("POLICYD_TEST_SECRET")
    with pytest.raises(InvalidIssuerSettings, match="which is not set"):
        check_credentials([issuer])


def test_waiting_is_expected_where_an_issuer_is_asked() -> None:
    issuer = asked_issuer(FakeAsk(), Clock())
    assert open_waiting(Server(), [tokens.issuer(), issuer]).expected
    assert not open_waiting(Server(), [tokens.issuer()]).expected


def test_the_first_issuer_that_is_asked_needs_a_restart() -> None:
    issuer = asked_issuer(FakeAsk(), Clock())
    check_later_issuers([issuer], Waiting(expected=True))
    check_later_issuers([tokens.issuer()], Waiting())
    with pytest.raises(ConfigurationInvalid) as caught:
        check_later_issuers([issuer], Waiting())
    (found,) = caught.value.diagnostics
    assert (found.code, "restart the daemon" in found.headline) == ("P5006", True)
