"""`[dialects.NAME]`: what is read, what is a finding, and that such a dialect is at work."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from policyd.config.configuration import Configuration, load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.config.tables import DialectTable
from policyd.json_types import Json
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.settings.dialect import Dialect, read_conditions
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.trust import issuer_of
from tests.support.tokens import (
    AUDIENCE,
    CLIENT,
    ISSUER,
    NOW,
    key,
    key_set,
    reason,
    token,
    validator,
    verify,
)

HEAD = '[policies]\npath = "policies"\n\n'
ISSUERS = f"""
[[issuers]]
issuer = "{ISSUER}"
dialect = "acme"
jwks_file = "jwks.json"
"""
WHOLE = """\
[dialects.acme]
at_jwt = false
marks = [{ token_use = ["access", "svc"], email = false }, { tty = "at" }]
decisive = true
client_outside_audience = true
client = ["application"]
subject = ["account", ["tenant", "user"]]
scope = "rights"
scope_form = "either"
permissions = "may"
token_id = "tid"
required = ["account"]
user = [{ who = "human" }]
application = [{ who = { same_as = "application" } }]
auth_time_tells = false
user_separator = ":"
application_suffix = "@apps"
"""


def configured(tmp_path: Path, dialects: str, issuers: str = ISSUERS) -> Configuration:
    path = tmp_path / "policyd.toml"
    path.write_text(HEAD + dialects + issuers)
    return load_configuration(path)


def findings(
    tmp_path: Path, dialects: str, issuers: str = ISSUERS
) -> list[tuple[str, str, str, str | None]]:
    """Return of each finding the code, headline, the line that is pointed at, and help."""
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(tmp_path, dialects, issuers)
    found = []
    for one in caught.value.diagnostics:
        label = one.primary
        line = (
            "" if label is None else label.source.line(label.source.position(label.span.start).line)
        )
        found.append((one.code, one.headline, line, one.help))
    return found


def test_every_key_is_read(tmp_path: Path) -> None:
    made = configured(tmp_path, WHOLE).issuers[0].dialect_row

    assert made == Dialect(
        marks=read_conditions(
            "marks", [{"token_use": ["access", "svc"], "email": False}, {"tty": "at"}]
        ),
        decisive=True,
        client_outside_audience=True,
        client=("application",),
        subject=(("account",), ("tenant", "user")),
        scope="rights",
        scope_form="either",
        permissions="may",
        token_id="tid",
        required=frozenset(("account",)),
        user=read_conditions("user", [{"who": "human"}]),
        application=read_conditions("application", [{"who": {"same_as": "application"}}]),
        auth_time_tells=False,
        user_separator=":",
        application_suffix="@apps",
    )


def test_it_has_the_columns_of_a_dialect_but_the_one_for_cognito_alone() -> None:
    columns = {field.name for field in msgspec.structs.fields(Dialect)}

    assert set(DialectTable.__struct_fields__) == columns - {"audience_by_client"}


def test_the_defaults_are_those_of_a_dialect(tmp_path: Path) -> None:
    made = configured(tmp_path, "[dialects.acme]\nat_jwt = true\n").issuers[0].dialect_row

    assert made == Dialect(at_jwt=True)


def test_policyds_own_stay_as_they_are(tmp_path: Path) -> None:
    settings = configured(tmp_path, WHOLE).issuers[0]

    assert {name: settings.dialects[name] for name in DIALECTS} == DIALECTS


@pytest.mark.parametrize(
    ("dialects", "code", "headline", "line"),
    [
        (
            "[dialects.acme]\nmark = [{ cid = true }]\n",
            "P5002",
            "unknown key `dialects.acme.mark`",
            "mark = [{ cid = true }]",
        ),
        (
            "[dialects.acme]\nat_jwt = 1\n",
            "P5004",
            "`dialects.acme.at_jwt` does not fit",
            "at_jwt = 1",
        ),
        (
            '[dialects.acme]\nat_jwt = true\nscope_form = "texts"\n',
            "P5004",
            "`dialects.acme.scope_form` does not fit",
            'scope_form = "texts"',
        ),
        (
            "[dialects.acme]\nmarks = [true]\n",
            "P5004",
            "`dialects.acme.marks[0]` does not fit",
            "marks = [true]",
        ),
        (
            "[dialects.acme]\ndecisive = true\n",
            "P5010",
            "dialect `acme`: `marks` is missing: nothing would tell access tokens from ID tokens",
            "[dialects.acme]",
        ),
        (
            "[dialects.acme]\nmarks = [{ azp = true }]\n",
            "P5010",
            "dialect `acme`: `marks` takes `azp` for the mark of an access token, "
            "and ID tokens may have it too",
            "marks = [{ azp = true }]",
        ),
        (
            "[dialects.acme]\nmarks = [{ cid = 7 }]\n",
            "P5010",
            "dialect `acme`: `marks` has an unsupported test for claim `cid`",
            "marks = [{ cid = 7 }]",
        ),
        (
            "[dialects.acme]\nat_jwt = true\nsubject = [7]\n",
            "P5010",
            "dialect `acme`: `subject` names no subject",
            "subject = [7]",
        ),
        (
            "[dialects.acme]\nat_jwt = true\nsubject = [[]]\n",
            "P5010",
            "dialect `acme`: `subject` names no subject",
            "subject = [[]]",
        ),
        (
            "[dialects.acme]\nat_jwt = true\n[dialects.auth0]\nat_jwt = true\n",
            "P5010",
            "`auth0` is a dialect of policyd's own",
            "[dialects.auth0]",
        ),
    ],
)
def test_a_mistake_is_one_finding_at_its_place(
    tmp_path: Path, dialects: str, code: str, headline: str, line: str
) -> None:
    ((found_code, found_headline, found_line, help_),) = findings(tmp_path, dialects)

    assert (found_code, found_headline, found_line) == (code, headline, line)
    assert help_


def test_an_unknown_key_has_a_suggestion(tmp_path: Path) -> None:
    ((_, _, _, help_),) = findings(tmp_path, "[dialects.acme]\nmark = []\n")

    assert help_ == "did you mean `marks`?"


def test_what_only_cognito_may_do_is_no_key(tmp_path: Path) -> None:
    text = "[dialects.acme]\nat_jwt = true\naudience_by_client = true\n"
    ((code, headline, *_),) = findings(tmp_path, text)

    assert (code, headline) == ("P5002", "unknown key `dialects.acme.audience_by_client`")


def test_a_dialect_that_is_not_there_is_suggested(tmp_path: Path) -> None:
    ((code, headline, *_),) = findings(tmp_path, "[dialects.acne]\nat_jwt = true\n")

    assert code == "P5006"
    assert "did you mean acne?" in headline


def test_clients_are_read_by_api(tmp_path: Path) -> None:
    text = ISSUERS.replace("acme", "cognito") + '[issuers.clients]\nhealth = ["a", "b"]\n'
    made = configured(tmp_path, "", text).issuers[0]

    assert made.clients == {"health": frozenset(("a", "b"))}


def test_clients_of_another_dialect_are_a_finding(tmp_path: Path) -> None:
    text = ISSUERS.replace("acme", "auth0") + 'clients = { health = ["a"] }\n'
    ((code, _, line, _),) = findings(tmp_path, "", text)

    assert (code, line) == ("P5006", 'clients = { health = ["a"] }')


def test_tokens_are_judged_by_it(tmp_path: Path) -> None:
    dialects = (
        "[dialects.acme]\n"
        'marks = [{ tty = "at" }]\n'
        'client = ["applicationId"]\n'
        'subject = [["tenant", "sub"]]\n'
        'scope_form = "list"\n'
    )
    (settings,) = configured(tmp_path, dialects).issuers
    of = validator(issuer_of(settings, FixedKeys(key_set())))
    claims: dict[str, Json] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(NOW) + 60,
        "tty": "at",
        "applicationId": CLIENT,
        "tenant": "t",
        "sub": "jane",
        "scope": ["read", "write"],
    }
    facts = verify(token(claims, by=key()), of)

    assert (facts.subject, facts.client) == ("t/jane", CLIENT)
    assert facts.scopes == {"read", "write"}
    assert reason(token({**claims, "tty": "id"}), of) == "TOKEN_TYPE"
    assert reason(token({**claims, "aud": [AUDIENCE, CLIENT]}), of) == "ID_TOKEN"
    assert reason(token({**claims, "scope": "read"}), of) == "CLAIM_INVALID"
