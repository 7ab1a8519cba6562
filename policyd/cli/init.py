"""`policyd init`: a new policy set that passes check, lint and test."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import PATH
from policyd.cli.output import findings, note
from policyd.errors import InternalError, PolicydError
from policyd.tooling.starting.derive import skeleton_of
from policyd.tooling.starting.example import example
from policyd.tooling.starting.issuer import NewIssuer, look_up
from policyd.tooling.starting.openapi import read_document
from policyd.tooling.starting.project import (
    EXAMPLE,
    configuration_text,
    name_of,
    surroundings,
)
from policyd.tooling.starting.skeleton import Skeleton, problems, text_of_policy, text_of_tests


class InTheWay(PolicydError):
    """A file exists that `init` would write."""


@click.command(
    epilog=examples(
        "policyd init shop",
        "policyd init shop --issuer https://sso.example.com/realms/shop",
        "policyd init --openapi openapi.json",
    )
)
@click.argument("folder", type=PATH, default=Path(), metavar="[DIR]")
@click.option(
    "--issuer",
    metavar="URL",
    help="The issuer of the access tokens. Its discovery document is read where it can be reached, "
    "and says its exact name, dialect and algorithms.",
)
@click.option(
    "--openapi",
    type=PATH,
    metavar="FILE",
    help="An OpenAPI 3 document (JSON or YAML): its scopes, resources and routes become the "
    "policy.",
)
def command(folder: Path, issuer: str | None, openapi: Path | None) -> None:
    """Begin a policy set in DIR, or here.

    Writes policyd.toml, a policy with its tests, a .pre-commit-config.yaml and a workflow for CI.
    All of it passes check, lint and test as it is. Existing files are not changed.
    """
    notes: tuple[str, ...] = ()
    if openapi is None:
        skeleton = example(name_of(folder.absolute().name))
    else:
        skeleton, notes = skeleton_of(read_document(openapi))
    taken = [path for path in _own(folder, skeleton) if path.exists()]
    if taken:
        raise InTheWay(f"{taken[0]} exists: name another DIR, or move it away")
    found = EXAMPLE if issuer is None else look_up(issuer)
    for said in (*found.notes, *notes):
        note(said)
    texts = _texts(folder, skeleton, found)
    for path, text in texts.items():
        _write(path, text)
    _next(folder, skeleton)


def _own(folder: Path, skeleton: Skeleton) -> tuple[Path, Path, Path]:
    policies = folder / "policies"
    return (
        folder / "policyd.toml",
        policies / f"{skeleton.api}.policy",
        policies / f"{skeleton.api}_test.policy",
    )


def _texts(folder: Path, skeleton: Skeleton, issuer: NewIssuer) -> dict[Path, str]:
    """Return the text of each file that is to be written, judged as the verbs would."""
    policy, tests = text_of_policy(skeleton), text_of_tests(skeleton, issuer.dialect)
    wrong = problems(policy, tests)
    if wrong:
        raise InternalError(f"a new policy set has findings:\n{findings(wrong, 'text')}")
    own = zip(_own(folder, skeleton), (configuration_text(issuer), policy, tests), strict=True)
    around = {folder / name: text for name, text in surroundings().items()}
    return {**dict(own), **around}


def _write(path: Path, text: str) -> None:
    if path.exists():
        note(f"left   {path}, which exists")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise PolicydError(f"{path} cannot be written: {error.strerror}") from None
    note(f"wrote  {path}")


def _next(folder: Path, skeleton: Skeleton) -> None:
    lines = [] if folder == Path() else [f"cd {folder}"]
    lines += ["policyd check", "policyd test -v", "policyd serve --dev"]
    note("\nWhat to do next:\n" + "".join(f"    {line}\n" for line in lines).rstrip())
    note(f"\nThen put your own rules into {_own(folder, skeleton)[1]}.")
