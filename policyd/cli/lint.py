"""`policyd lint`: style and safety of policies that load."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.issuing import configured_issuers
from policyd.cli.nearest import nearest, policy_paths
from policyd.cli.output import counted, findings, format_option, note
from policyd.diagnostics import CODES, closest, has_errors
from policyd.diagnostics.json_text import encode_json
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.tooling.files import Wanted
from policyd.tooling.lint import DEFAULT, NAMES, lint
from policyd.tooling.lint.linter import DialectsOfApis
from policyd.tooling.policies import LoadedFiles, load_policies


def _codes(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str] | None:
    """Read codes with commas between them, or `all`."""
    if value is None:
        return None
    if value == "all":
        return frozenset(NAMES)
    codes = [code.strip().upper() for code in value.split(",")]
    for code in codes:
        if code not in NAMES:
            near = closest(code, NAMES)
            hint = f"did you mean {near}?" if near else "--rules lists the codes"
            raise click.BadParameter(f"the linter has no rule {code!r}; {hint}", ctx, param)
    return frozenset(codes)


@click.command(
    epilog=examples(
        "policyd lint policies",
        "policyd lint --rules",
        "policyd lint policies --select all --ignore P3012",
    )
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@click.option(
    "--config",
    type=PATH,
    help="Check with the issuers of this policyd.toml: what their tokens tell, and whether a test "
    "has such a token. [default: the nearest, without a PATH]",
)
@click.option(
    "--select",
    callback=_codes,
    metavar="CODE,…",
    help="Run only these rules, or `all`. [default: the rules that are on]",
)
@click.option("--ignore", callback=_codes, metavar="CODE,…", help="Skip these rules.")
@click.option("--rules", "listing", is_flag=True, help="List the rules, and whether each is on.")
@FOLLOW_OUTSIDE
@format_option(type=click.Choice(["text", "concise", "json", "github", "sarif", "junit"]))
def command(
    paths: tuple[Path, ...],
    config: Path | None,
    select: frozenset[str] | None,
    ignore: frozenset[str] | None,
    listing: bool,
    follow_outside: bool,
    output: str,
) -> None:
    """Report style and safety problems in policies that load.

    PATH is a policy or test file, or a directory with all such files below it. The default is the
    directory of the nearest policyd.toml. `policyd explain CODE` explains a rule.

    A comment `// lint: allow CODE (reason)` suppresses a finding on its own line or on the line
    below it.

    Exits with 1 if there is a finding, or if the policies or tests have errors.
    """
    selected = (DEFAULT if select is None else select) - (ignore or frozenset())
    if listing:
        click.echo(_listed(selected, output), nl=False)
        return
    known = config or (None if paths else nearest())
    paths, follow_outside = policy_paths(paths, known, follow_outside=follow_outside)
    loaded = load_policies(paths, Wanted.ALL, follow_outside=follow_outside)
    found = loaded.diagnostics
    if loaded.policies is not None and not has_errors(found):
        sources = [file.source for file in loaded.files]
        tests = loaded.tests if _tests_belong_here(paths, loaded) else None
        dialects = _dialects(known, loaded.policies, asked=config is not None)
        found = (*found, *lint(loaded.policies, sources, tests, selected, dialects))
    click.echo(findings(found, output), nl=False)
    note(f"{loaded.summary}: {counted(found)}")
    if found:
        raise click.exceptions.Exit(1)


def _dialects(config: Path | None, policies: PolicySet, *, asked: bool) -> DialectsOfApis:
    """Return the dialects of the issuers of each API."""
    issuers = configured_issuers(config, asked=asked)
    if not issuers:
        return {}
    return {
        api: {
            one.dialect: one.dialect_row for one in issuers if one.apis is None or api in one.apis
        }
        for api in policies.apis
    }


def _tests_belong_here(paths: tuple[Path, ...], loaded: LoadedFiles) -> bool:
    """Tell whether a policy without tests was given where its tests would have been found."""
    return any(path.is_dir() for path in paths) or any(
        file.source.name.endswith(TEST_SUFFIX) for file in loaded.files
    )


def _listed(selected: frozenset[str], output: str) -> str:
    rules = sorted(NAMES.items())
    if output == "json":
        document = [
            {"code": code, "name": name, "title": CODES[code], "selected": code in selected}
            for code, name in rules
        ]
        return encode_json(document, indent=2).decode() + "\n"
    return "".join(
        f"{code}  {'on ' if code in selected else 'off'}  {name:<24} {CODES[code]}\n"
        for code, name in rules
    )
