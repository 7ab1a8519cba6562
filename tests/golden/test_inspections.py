"""What `policyd token inspect` says of a token, as people see it: `inspections/NAME.txt`.

Each case changes one thing of a token that is accepted. A new one is a new row with a new file,
read line by line before it is committed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from policyd.tokens.inspection import Surroundings, inspect
from policyd.tooling.inspections import inspection_text
from tests.support.tokens import (
    BILLING,
    CLIENT,
    HEALTH,
    NOW,
    accepted_claims,
    encoded,
    issuer,
    key,
    token,
    without,
)

FOLDER = Path(__file__).parent / "inspections"


def unsigned() -> str:
    """Return a token whose algorithm is none."""
    header, payload = {"alg": "none"}, accepted_claims()
    return ".".join([*(encoded(json.dumps(part).encode()) for part in (header, payload)), ""])


def keycloak() -> str:
    """Return an access token of Keycloak that names its application as an audience too."""
    audience = [*HEALTH.audiences, CLIENT]
    return token(accepted_claims(typ="Bearer", aud=[*audience], preferred_username="jo"))


def everything_wrong() -> str:
    claims = without(accepted_claims(exp=int(NOW) - 90_000, aud="x"), "azp")
    return token(claims, by=key(name="stranger"))


CASES: dict[str, Callable[[], str]] = {
    "accepted": token,
    "expired": lambda: token(accepted_claims(exp=int(NOW) - 7200, iat=int(NOW) - 9000)),
    "wrong_audience": lambda: token(accepted_claims(aud=[*BILLING.audiences])),
    "id_token": lambda: token(accepted_claims(aud=CLIENT, nonce="n-0S6", name="Jo Doe")),
    "unknown_key": lambda: token(by=key(name="stranger")),
    "wrong_dialect": keycloak,
    "unsigned": unsigned,
    "opaque": lambda: "kJ8dhwlk2hd98h2dLkw0",
    "encrypted": lambda: "eyJh.eyJh.eyJh.eyJh.eyJh",
    "other_issuer": lambda: token(accepted_claims(iss="https://my-domain.auth0.com")),
    "bound": lambda: token(
        accepted_claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
    ),
    "everything_wrong": everything_wrong,
    "hostile": lambda: token(accepted_claims(sub="\x1b[2Jadmin\u202e", scope='a"b')),
}


@pytest.mark.parametrize("name", CASES)
def test_inspections_look_as_they_should(name: str) -> None:
    text = CASES[name]()
    seen = inspect(text, NOW, issuers=[issuer()], api=HEALTH)
    shown = inspection_text(seen, [HEALTH, BILLING])
    assert shown == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert not any(len(part) > 8 and part in shown for part in text.split(".") if name != "opaque")


def test_without_anything_to_judge_by() -> None:
    shown = inspection_text(inspect(token(), NOW))
    assert shown == (FOLDER / "alone.txt").read_text(encoding="utf-8")


def test_keys_that_were_not_fetched() -> None:
    believed = issuer()
    around = Surroundings(without_keys={believed.settings.issuer: "its keys were not fetched"})
    shown = inspection_text(inspect(token(), NOW, issuers=[believed], api=HEALTH, around=around))
    assert shown == (FOLDER / "not_fetched.txt").read_text(encoding="utf-8")


def test_prose_takes_the_width_there_is() -> None:
    seen = inspect(CASES["id_token"](), NOW, issuers=[issuer()], api=HEALTH)
    for width in (60, 80, 120):
        lines = inspection_text(seen, width=width).splitlines()
        prose = [line for line in lines if line.startswith(" " * 9)]
        assert max(map(len, prose)) <= width
        assert max(map(len, prose)) > width - 20
