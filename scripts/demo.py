"""The main job on real input: a daemon, signed tokens, questions over gRPC, a table of decisions.

The daemon is the real one, with the sample policies and an issuer made for the occasion, whose key
lives as long as the demo. Two of the tokens are those of "Call APIs with Auth0 Tokens", which tells
access tokens and ID tokens apart: signed as printed there, but for the times and the ID token's
`iss`, which that document spells in another way than the access token's.

Exits with 0 if every decision is the expected one, with 1 if not.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from policyd.client import Answer, AuthorizationFailed, Client, Resource
from policyd.json_types import Json
from policyd.tokens.minting import PrivateKey, generate_key, key_set_text, sign

ROOT = Path(__file__).resolve().parent.parent
SOURCE_DOCUMENT = ROOT / "tests" / "support" / "source_document.json"
ISSUER = "https://my-domain.auth0.com/"
HOUR = 3600
Claims = dict[str, Json]

CONFIGURATION = """\
[policies]
path = {policies}

[server]
listen = ["unix:policyd.sock"]
drain = 0

[decision_log]
path = "decisions.ndjson"

[[issuers]]
issuer = "{issuer}"
dialect = "auth0"
jwks_file = "jwks.json"
"""


NEXT = """
What to do next, with policyd of this clone, .venv/bin/policyd:

    policyd test policies -v    the tests of the policies that decided above
    policyd init shop           a policy set of your own; then: cd shop
    policyd serve --dev         the daemon, with an issuer to try it
    docs/tutorial.md            from a token to a tested policy in ten minutes"""


class Question(msgspec.Struct, frozen=True):
    """A question, and the answer that it must get; `by` are missing scopes, or else rules."""

    bearer: str
    action: str
    resource: Resource
    reason: str
    by: tuple[str, ...] = ()
    api: str = "health"


PATIENT = Resource("patient", "p1", {"sealed": False})
SEALED = Resource("patient", "p2", {"sealed": True})
PATIENTS = Resource("patients")
REPORT = Resource("report", "r1")
DOCUMENT = Resource("document", "d1", {"org_id": "org_1", "owner": "auth0|123456"})
STEP_UP = "INSUFFICIENT_USER_AUTHENTICATION"

QUESTIONS = (
    Question("the document's access token", "read", PATIENT, "ALLOWED", ("reads",)),
    Question("the document's access token", "view", REPORT, "ALLOWED", ("admin-report",)),
    Question("the document's access token", "read", SEALED, STEP_UP, ("sealed",)),
    Question("after a strong login", "read", SEALED, "ALLOWED", ("reads",)),
    Question("the document's ID token", "read", PATIENT, "ID_TOKEN"),
    Question("the document's access token", "read", DOCUMENT, "AUDIENCE_MISMATCH", api="documents"),
    Question("a clinician's token", "update", PATIENT, "INSUFFICIENT_SCOPE", ("write:patients",)),
    Question("a machine's token", "list", PATIENTS, "ALLOWED", ("lists", "nightly-export")),
    Question("an expired token", "read", PATIENT, "TOKEN_EXPIRED"),
    Question("a tampered token", "read", PATIENT, "SIGNATURE_INVALID"),
    Question("an unsigned token", "read", PATIENT, "ALGORITHM_NOT_ALLOWED"),
    Question("an unknown issuer's token", "read", PATIENT, "ISSUER_UNKNOWN"),
    Question("no token", "read", PATIENT, "TOKEN_MISSING"),
)


def document_claims(now: int) -> tuple[Claims, Claims]:
    """Return the document's access token and ID token, as the demo signs them."""
    document = json.loads(SOURCE_DOCUMENT.read_text())
    times = {"iat": now, "exp": now + HOUR}
    return document["access_token"] | times, document["id_token"] | times | {"iss": ISSUER}


def tokens(key: PrivateKey, now: int) -> dict[str, str]:
    """Return a token for each bearer of `QUESTIONS`."""
    access, id_token = document_claims(now)
    clinician: Claims = {"https://example.com/roles": ["clinician"]}
    login: Claims = {"acr": "urn:example:mfa", "auth_time": now - 60}
    machine: Claims = {
        "sub": "nightly-export@clients",
        "azp": "nightly-export",
        "gty": "client-credentials",
        "scope": "read:patients",
    }
    return {
        "the document's access token": sign(key, access),
        "the document's ID token": sign(key, id_token),
        "after a strong login": sign(key, access | login),
        "a clinician's token": sign(key, access | clinician),
        "a machine's token": sign(key, access | machine),
        "an expired token": sign(key, access | {"iat": now - 2 * HOUR, "exp": now - HOUR}),
        "a tampered token": tampered(sign(key, access)),
        "an unsigned token": unsigned(access),
        "an unknown issuer's token": sign(
            generate_key(), access | {"iss": "https://elsewhere.example/"}
        ),
        "no token": "",
    }


def tampered(token: str) -> str:
    """Return the token with another subject and the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{header}.{segment(claims | {'sub': 'auth0|administrator'})}.{signature}"


def unsigned(claims: Claims) -> str:
    """Return a token of algorithm `none`."""
    return f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(claims)}."


def segment(value: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def configure(folder: Path, key: PrivateKey) -> None:
    """Write a configuration that trusts `key`."""
    (folder / "jwks.json").write_bytes(key_set_text(key))
    policies = json.dumps(str(ROOT / "policies"))
    (folder / "policyd.toml").write_text(CONFIGURATION.format(policies=policies, issuer=ISSUER))


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """Run the daemon in `folder`; yield its address."""
    command = [str(Path(sys.executable).with_name("policyd")), "serve", "--config", "policyd.toml"]
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log)
        try:
            yield f"unix:{folder / 'policyd.sock'}"
        finally:
            process.terminate()
            process.wait()


def as_expected(question: Question, answer: Answer) -> bool:
    by = answer.missing_scopes or answer.rules
    expected = (question.reason == "ALLOWED", question.reason, question.by)
    return (answer.allowed, answer.reason, by) == expected


def add_row(table: Table, question: Question, answer: Answer) -> None:
    """Show a question and its answer."""
    resource = question.resource
    asked = f"{question.api}: {question.action} {resource.type} {resource.id}"
    verdict = "[green]allow[/]" if answer.allowed else f"[red]deny[/], {answer.http_status}"
    if not as_expected(question, answer):
        verdict += f" [bold red](expected {question.reason})[/]"
    why = answer.reason
    if answer.missing_scopes:
        why += f"\nmissing: {' '.join(answer.missing_scopes)}"
    elif answer.rules:
        why += f"\nby {', '.join(answer.rules)}"
    table.add_row(f"{question.bearer}\n[dim]{asked}[/]", verdict, why)


def show_challenge(console: Console, answer: Answer) -> None:
    """Show what a service passes on to its caller, as it came."""
    console.print(
        "\nWhat the service answers its own caller, ready-made; here for the third one:\n"
    )
    console.print(f"    HTTP {answer.http_status}", highlight=False)
    for line in wrap(f"WWW-Authenticate: {answer.www_authenticate}", 76, break_on_hyphens=False):
        console.print(f"    {escape(line)}", highlight=False)


def show_record(console: Console, records: list[str]) -> None:
    """Show the first record of the decision log, a member a line."""
    console.print(f"\n{len(records)} records in the decision log; the first one:\n")
    for name, value in json.loads(records[0]).items():
        shown = json.dumps(value)
        shown = shown if len(shown) <= 54 else f"{shown[:53]}…"
        console.print(f"    {name + ':':<20}{escape(shown)}", highlight=False)


def main(console: Console | None = None) -> int:
    console = console or Console(width=None if sys.stdout.isatty() else 100)
    table = Table(title="policyd: decisions over gRPC", show_lines=True)
    for name in ("bearer and question", "decision", "why"):
        table.add_column(name)
    wrong = 0
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="policyd-demo-") as name:
        folder, key = Path(name), generate_key()
        configure(folder, key)
        try:
            with daemon(folder) as target, Client(target) as client:
                client.wait_until_serving(timeout=15)
                by_bearer = tokens(key, int(time.time()))
                for question in QUESTIONS:
                    answer = client.check(
                        by_bearer[question.bearer],
                        api=question.api,
                        action=question.action,
                        resource=question.resource,
                    )
                    answers.append(answer)
                    add_row(table, question, answer)
                    wrong += not as_expected(question, answer)
        except AuthorizationFailed as error:
            console.print(f"[bold red]{escape(str(error))}[/]; the daemon's log:")
            console.out((folder / "daemon.log").read_text())
            return 1
        records = (folder / "decisions.ndjson").read_text().splitlines()
    console.print(table)
    show_challenge(console, answers[2])
    show_record(console, records)
    if not wrong:
        console.print(NEXT, highlight=False)
    else:
        console.print(f"[bold red]{wrong} decisions are not the expected ones[/]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
