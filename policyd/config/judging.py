"""A configuration judged as `serve` would, without serving: for `policyd check --config`.

Input: a file. Output: all findings: those of its tables, those of the files that it names, the
revocation file too, and, once the policies are read, names that these do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from policyd.audit import Mask
from policyd.config.configuration import Configuration, examine
from policyd.config.findings import ConfigurationInvalid, Findings, Key, did_you_mean
from policyd.config.masks import mask_findings
from policyd.diagnostics import Diagnostic
from policyd.language.policy import PolicySet
from policyd.sources.revocations import read_file_now
from policyd.tokens.details import escaped
from policyd.tokens.revocation.revocation_list import RevocationList


def judge(path: Path) -> tuple[Configuration | None, Sequence[Diagnostic]]:
    """Read a configuration and the files that it names; return all that is to be said of it.

    The result has a configuration if its tables are valid, even if a file that it names is
    unusable.
    """
    try:
        configuration, found = examine(path, files=True)
        if configuration is None:
            # What can be said of its policies can be said all the same, if the tables make sense.
            configuration, _ = examine(path)
    except ConfigurationInvalid as error:
        return None, error.diagnostics
    if configuration is None:
        return None, found
    return configuration, (*found, *_revocations(configuration))


def _revocations(configuration: Configuration) -> Sequence[Diagnostic]:
    settings = configuration.revocations
    if settings is None or settings.file is None:
        return ()
    revocations = read_file_now(settings)
    assert isinstance(revocations, RevocationList)
    problem = revocations.figures().problem
    findings = Findings(configuration.source)
    if problem is not None:
        findings.add("P5008", ("revocations", "file"), f"`revocations.file`: {problem}")
    return findings.found


def policy_findings(configuration: Configuration, policies: PolicySet) -> Sequence[Diagnostic]:
    """Return findings about names of the configuration that the policies do not have."""
    unknown = Mask(configuration.decision_log.mask).unknown(policies)
    return (
        *_unknown_apis(configuration, policies),
        *mask_findings(configuration.source, unknown),
    )


def _unknown_apis(configuration: Configuration, policies: PolicySet) -> Sequence[Diagnostic]:
    """Return a finding for each API that the configuration names and no policy declares."""
    findings = Findings(configuration.source)
    for key, what, name in _named(configuration):
        if name not in policies.apis:
            help_ = did_you_mean(name, policies.apis)
            if help_ is None:
                help_ = f"the policies declare {', '.join(sorted(policies.apis)) or 'none'}"
            headline = f"{what} names the API `{name}`, which no policy declares"
            findings.add("P5004", key, headline, help_)
    return findings.found


def _named(configuration: Configuration) -> Iterator[tuple[Key, str, str]]:
    """Yield the key, how to speak of it, and the name, wherever an API is named."""
    for number, issuer in enumerate(configuration.issuers):
        for name in sorted(issuer.apis or ()):
            yield ("issuers", number, "apis"), f"issuer {escaped(issuer.issuer)}: `apis`", name
    for name in configuration.apis:
        yield ("apis", name), "`apis`", name
    for name in configuration.authzen.asserted:
        yield ("authzen", "asserted"), "`authzen.asserted`", name
    if configuration.authzen.api:
        yield ("authzen", "api"), "`authzen.api`", configuration.authzen.api
    default = configuration.server.default_api
    if default:
        yield ("server", "default_api"), "`server.default_api`", default
