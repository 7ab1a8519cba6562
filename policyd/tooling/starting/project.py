"""The files around a new policy set: its configuration, and what checks it at each change."""

from __future__ import annotations

import json
import re

from policyd import __version__
from policyd.tooling.starting.issuer import NewIssuer

#: The issuer of a configuration that names none yet (RFC 2606 keeps the name free).
EXAMPLE = NewIssuer("https://issuer.example.com/", "rfc9068")

_CONFIGURATION = """\
# What policyd runs with. Every key: docs/configuration.md

[policies]
path = "policies"

[server]
listen = ["127.0.0.1:8181"]

{remark}[[issuers]]
issuer = {issuer}
dialect = {dialect}
{more}"""
_PLACEHOLDER = """\
# Put your issuer in the place of this one: exactly the `iss` of its tokens, to the slash at the
# end. Until then, `policyd serve --dev` has an issuer of its own.
"""
_PRE_COMMIT = """\
# Run by pre-commit (https://pre-commit.com): `pre-commit install` once, then at each commit.
repos:
  - repo: local
    hooks:
      - id: policyd-fmt
        name: format policies
        entry: policyd fmt
        language: python
        additional_dependencies: [{requirement}]
        files: \\.policy$
      - id: policyd-check
        name: check policies and configuration
        entry: policyd check
        language: python
        additional_dependencies: [{requirement}]
        pass_filenames: false
        files: (\\.policy|policyd\\.toml)$
      - id: policyd-test
        name: test policies
        entry: policyd test
        language: python
        additional_dependencies: [{requirement}]
        pass_filenames: false
        files: \\.policy$
"""
_WORKFLOW = """\
name: policies
on: [push, pull_request]
permissions:
  contents: read
jobs:
  policies:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: python -m pip install {requirement}
      - run: policyd fmt --check
      - run: policyd check --format github
      - run: policyd lint --format github
      - run: policyd test --format github --coverage
"""


def configuration_text(issuer: NewIssuer) -> str:
    """Return `policyd.toml` for an issuer."""
    more = ""
    if issuer.algorithms:
        more += f"algorithms = {json.dumps(issuer.algorithms)}\n"
    if issuer.jwks_hosts:
        more += f"jwks_hosts = {json.dumps(issuer.jwks_hosts)}\n"
    if issuer.plain_http:
        more += "allow_http_loopback = true\n"
    return _CONFIGURATION.format(
        remark=_PLACEHOLDER if issuer == EXAMPLE else "",
        issuer=json.dumps(issuer.issuer),
        dialect=json.dumps(issuer.dialect),
        more=more,
    )


def surroundings() -> dict[str, str]:
    """Return the text of each file that checks the policies at a change, by its path."""
    requirement = f"policyd=={__version__}"
    return {
        ".pre-commit-config.yaml": _PRE_COMMIT.format(requirement=requirement),
        ".github/workflows/policies.yml": _WORKFLOW.format(requirement=requirement),
    }


def name_of(text: str) -> str:
    """Return the name of an API for a folder or a title: `Pet Store, v1` becomes `pet-store-v1`."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    name = "-".join(words)[:40].strip("-")
    if not name or not name[0].isalpha():
        name = f"api-{name}".strip("-")
    return name
