"""A daemon for the contract cases of the clients, `clients/contract/cases.json`, and their site.

The site is what a case cannot say: addresses, tokens, certificates. Each client reads it, as JSON,
from the file that `POLICYD_CONTRACT` names; `clients/contract/README.md` says what is in it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from policyd.json_types import Json
from tests.support.certificates import Authority
from tests.support.daemon import ISSUER, Daemon, Site, access_token
from tests.support.documents import ROOT

CASES = ROOT / "clients" / "contract" / "cases.json"
VARIABLE = "POLICYD_CONTRACT"
_IDENTITY = 'tls = { certificate = "cert.pem", private_key = "key.pem"'
#: Of a certificate or a key: the cases name it too.
_THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
_CALLER = "spiffe://example.com/ns/shop/sa/orders"
#: Conditions on resources, with values of each type: what filters are made of.
SHELF = """\
api shelf

audience "https://example.com/shelf-api"

values shelf_mark: "open", "closed"

resource book {
    owner:  string?
    pages:  int?
    price:  decimal?
    lent:   bool
    due:    time?
    mark:   shelf_mark?
    topics: set<string>?
    origin: ip?
    loans:  list? {
        reader: string?
        days:   int?
    }
    actions read, count
}

allow own: read on book
    when resource.owner == token.subject

allow open-books: read on book
    when resource.mark == "open" and not resource.lent
        and ("law" in resource.topics or resource.topics has any ["art", "maps"])

allow cheap-and-near: read on book
    when resource.pages <= 100 and resource.price < 9.5
        and resource.origin in ["10.0.0.0/8"]
        and resource.due < "2030-01-01T00:00:00Z"
        and resource.loans has some (item.reader starts with "a" and item.days < 8)

deny lost: read on book
    when resource.owner is present and resource.owner ends with "lost"

allow counts: count on book
    when token.subject == "auth0|123456"
"""


def decisions() -> int:
    """Return how many decisions the daemon makes if each case is asked once."""
    cases = json.loads(CASES.read_text(encoding="utf-8"))
    batches = (result for batch in cases["batches"] for result in batch.get("results", ()))
    outcomes = [*cases["questions"], *batches, *cases["connections"]]
    return sum("answer" in outcome for outcome in outcomes)


@contextmanager
def contract_site(folder: Path) -> Iterator[Path]:
    """Run the daemon; yield the file of its site."""
    site = Site(folder)
    (site.policies / "shelf.policy").write_text(SHELF)
    authority, stranger = Authority(), Authority()
    own, caller = authority.issue("localhost", "127.0.0.1"), authority.issue(_CALLER)
    files = {
        "authorities": ("ca.pem", authority.certificate),
        "strangers": ("strangers.pem", stranger.certificate),
        "certificate": ("caller.pem", caller.certificate),
        "private_key": ("caller-key.pem", caller.key),
    }
    for name, data in (("cert.pem", own.certificate), ("key.pem", own.key), *files.values()):
        (folder / name).write_bytes(data)
    offered = 'services = ["authorization"]'
    site.listen(
        f'address = "127.0.0.1:0"\n{offered}',
        f'address = "127.0.0.1:0"\n{offered}\n{_IDENTITY} }}',
        f'address = "127.0.0.1:0"\n{offered}\n{_IDENTITY}, client_authorities = "ca.pem" }}\n'
        f'callers = ["{_CALLER}"]',
        f'address = "unix:checks.sock"\n{offered}',
    )
    with site.start() as daemon, ExitStack() as stack:
        said: dict[str, Json] = {
            "cases": str(CASES),
            "targets": {**_targets(daemon, folder), **_dead_ends(stack)},
            "tokens": _tokens(),
            "files": {name: str(folder / file) for name, (file, _) in files.items()},
        }
        path = folder / "site.json"
        path.write_text(json.dumps(said))
        yield path


def _targets(daemon: Daemon, folder: Path) -> dict[str, Json]:
    tcp, tls, mutual, _ = daemon.addresses
    return {"tcp": tcp, "tls": tls, "mtls": mutual, "unix": f"unix:{folder / 'checks.sock'}"}


def _dead_ends(stack: ExitStack) -> dict[str, Json]:
    """Return addresses where nobody listens, and where nobody ever says anything."""
    closed = stack.enter_context(socket.socket())
    closed.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there either
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    places = {"closed": closed, "silent": silent}
    return {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in places.items()}


def _tokens() -> dict[str, Json]:
    """Return one token for each thing that a case needs to be right or wrong about a token."""
    now = int(time.time())
    header, payload, signature = access_token().split(".")
    return {
        "reader": access_token(),
        "shelf": access_token(aud="https://example.com/shelf-api"),
        "unscoped": access_token(scope="openid"),
        "expired": access_token(iat=now - 7200, exp=now - 3600),
        "other_audience": access_token(aud="https://example.com/billing-api"),
        "id_token": access_token(aud="my_client_id", azp=None, scope=None, nonce="n"),
        "other_issuer": access_token(iss=ISSUER.replace("my", "your")),
        "certified": access_token(cnf={"x5t#S256": _THUMBPRINT}),
        "keyed": access_token(cnf={"jkt": _THUMBPRINT}),
        "altered": f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        "application": access_token(sub="nightly@clients", azp="nightly", gty="client-credentials"),
    }
