"""The type that an issuer gives a token: what makes an access token of it."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.introspection_pipeline import check_token_type
from policyd.tokens.refusals import TokenBindingInvalid, TokenTypeRefused

KEY: Json = {"jkt": "A" * 43}


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("may_be_missing", [True, False])
def test_a_bearer_token(token_type: str, may_be_missing: bool) -> None:
    check_token_type({"token_type": token_type}, may_be_missing=may_be_missing)
    check_token_type({"token_type": token_type, "cnf": KEY}, may_be_missing=may_be_missing)


def test_a_dpop_token_says_which_key() -> None:
    check_token_type({"token_type": "DPoP", "cnf": KEY}, may_be_missing=False)
    with pytest.raises(TokenBindingInvalid):
        check_token_type({"token_type": "DPoP"}, may_be_missing=False)


def test_the_type_may_be_missing_where_all_are_access_tokens() -> None:
    check_token_type({}, may_be_missing=True)
    with pytest.raises(TokenTypeRefused, match="expected Bearer or DPoP"):
        check_token_type({}, may_be_missing=False)


@pytest.mark.parametrize("token_type", ["refresh_token", "", "Bearer ", 1, ["Bearer"], True])
@pytest.mark.parametrize("may_be_missing", [True, False])
def test_any_other_type(token_type: Json, may_be_missing: bool) -> None:
    with pytest.raises(TokenTypeRefused):
        check_token_type({"token_type": token_type}, may_be_missing=may_be_missing)
