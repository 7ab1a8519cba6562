"""The configuration, `policyd.toml`.

Input: a file and the environment, which overrides it. Output: a `Configuration` or
`ConfigurationInvalid` with one finding a mistake. Relative paths are relative to the file's folder.

Invariants: unknown keys are errors, whether in the file or the environment. A configuration that
exists makes sense: addresses are addresses, listeners are safe, issuers pass the checks of
`policyd.tokens.settings.issuers`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from policyd.config.apis import ApiSettings, is_resource, is_web_page
from policyd.config.authzen import check_entities, read_authzen
from policyd.config.bundles import check_bundle, read_bundle
from policyd.config.decision_log import DecisionLogSettings, read_decision_log
from policyd.config.dialects import read_dialects
from policyd.config.dpop import read_dpop
from policyd.config.endpoints import introspection_settings, userinfo_settings
from policyd.config.environment import overridden
from policyd.config.envoy import read_envoy
from policyd.config.files import (
    check_decision_log,
    check_issuer,
    check_redis,
    check_tls,
)
from policyd.config.findings import ConfigurationInvalid, Findings, Toml, read_toml
from policyd.config.listeners import Listener
from policyd.config.policies import (
    check_git,
    check_source,
    check_webhook,
    folder_of,
    read_git,
    read_webhook,
    state_of,
)
from policyd.config.reach import (
    check_accounts,
    check_development,
    check_library,
    check_secrets,
    read_listeners,
)
from policyd.config.reading import read_tables
from policyd.config.revocations import read_revocations
from policyd.config.shadow import ShadowSettings, read_shadow
from policyd.config.tables import (
    ApiTable,
    AuthzenTable,
    EnvoyTable,
    File,
    Issuer,
    Log,
    Policies,
    Server,
    Tokens,
)
from policyd.diagnostics import Diagnostic, Severity, Source, has_errors
from policyd.sources.policies import DirectorySettings
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.revocations import RevocationSettings
from policyd.tokens.details import escaped
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dpop import DpopSettings
from policyd.tokens.settings.issuer_names import with_usual_ending
from policyd.tokens.settings.issuers import InvalidIssuerSettings, IssuerSettings, check_issuers

#: Where development mode looks for policies without a configuration.
DEFAULT_POLICIES = "policies"


class Configuration(msgspec.Struct, frozen=True):
    """What the daemon runs with. Paths are absolute.

    `file` is what all else was made of, `source` its text, for findings that take the policies to
    make; `warnings` is what is to be said of it.
    """

    policies: Path
    directory: DirectorySettings
    state: Path | None
    git: GitSettings | None
    shadow: ShadowSettings | None
    bundle: BundleSettings | None
    webhook_secret: Path | None
    listeners: tuple[Listener, ...]
    server: Server
    tokens: Tokens
    dpop: DpopSettings
    decision_log: DecisionLogSettings
    log: Log
    in_challenges: bool
    details_in_challenges: bool
    authzen: AuthzenTable
    envoy: EnvoyTable
    apis: dict[str, ApiSettings]
    revocations: RevocationSettings | None
    issuers: tuple[IssuerSettings, ...]
    file: File
    source: Source
    warnings: tuple[Diagnostic, ...] = ()


def policies_of(path: Path) -> tuple[Path, DirectorySettings]:
    """Return where a configuration has its policies and how to read them, whatever else it says.

    Raises:
        ConfigurationInvalid: it cannot be read, or a table of it has another form.
    """
    source, values = read_toml(path)
    findings = Findings(source)
    file = read_tables(overridden(values, os.environ, findings), findings)
    if file is not None:
        check_source(file.policies, findings)
    if file is None or findings.found:
        raise findings.error()
    return folder_of(file.policies, path.absolute().parent), _directory(file.policies)


def load_configuration(
    path: Path,
    *,
    development: bool = False,
    files: bool = False,
    starting: bool = False,
    listening: bool = True,
) -> Configuration:
    """Read and check the configuration.

    With `development`, issuers are left out, and there may be only listeners that others cannot
    reach. With `files`, what the files that it names hold is checked too; not those of listeners,
    for a process that has none (`listening`). With `starting`, a key file that cannot be used is a
    warning: the daemon serves the other issuers, and reads that file again until it can.

    Raises:
        ConfigurationInvalid: see there.
    """
    configuration, found = examine(
        path, development=development, files=files, starting=starting, listening=listening
    )
    if configuration is None:
        raise ConfigurationInvalid(found)
    return configuration


def examine(
    path: Path,
    *,
    development: bool = False,
    files: bool = False,
    starting: bool = False,
    listening: bool = True,
) -> tuple[Configuration | None, Sequence[Diagnostic]]:
    """Read the configuration as `load_configuration` does; return all that is to be said of it.

    There is a configuration where none of the findings is an error. Raises `ConfigurationInvalid`
    where it cannot be read at all.
    """
    source, values = read_toml(path)
    return _examine(
        source,
        values,
        path,
        development=development,
        files=files,
        starting=starting,
        listening=listening,
    )


def without_file(path: Path) -> Configuration:
    """Return what development mode runs with where there is no file at `path`: the defaults.

    The policies are in `policies` beside it. Raises `ConfigurationInvalid`.
    """
    values: Toml = {"policies": {"path": DEFAULT_POLICIES}}
    configuration, found = _examine(
        Source(str(path), ""), values, path, development=True, files=True, starting=True
    )
    if configuration is None:
        raise ConfigurationInvalid(found)
    return configuration


def _examine(
    source: Source,
    values: Toml,
    path: Path,
    *,
    development: bool,
    files: bool,
    starting: bool,
    listening: bool = True,
) -> tuple[Configuration | None, Sequence[Diagnostic]]:
    findings = Findings(source)
    values = overridden(values, os.environ, findings)
    file = read_tables(_without_default_listener(values), findings)
    if file is None:
        raise findings.error()
    # Development mode trusts an issuer of its own alone. What the file says of others may be right.
    used = msgspec.structs.replace(file, issuers=()) if development else file
    configuration = _interpret(used, path.absolute().parent, findings)
    if development:
        check_development(configuration.listeners, findings)
    elif not file.issuers:
        findings.add(
            "P5003",
            ("issuers",),
            "no issuer is configured",
            "add an `[[issuers]]` table, or run with `--dev`",
        )
    if files and not has_errors(findings.found):
        if listening:
            _check_listeners(configuration, findings)
        _check_files(configuration, findings, starting)
    found = tuple(findings.found)
    if has_errors(found):
        return None, found
    return msgspec.structs.replace(configuration, file=file, warnings=found), found


def _without_default_listener(values: Toml) -> Toml:
    """Return values in which `server.listen` stands for nothing where only the table is used."""
    server = values.get("server", {})
    if not values.get("listeners") or not isinstance(server, dict) or "listen" in server:
        return values
    return {**values, "server": {"listen": [], **server}}


def _check_listeners(configuration: Configuration, findings: Findings) -> None:
    identities = {one.tls: one.tls_key for one in reversed(configuration.listeners) if one.tls}
    for tls, key in identities.items():
        check_tls(tls, key, findings, time.time())
    check_accounts(configuration.listeners, findings)
    check_secrets(configuration.listeners, findings)
    check_library(configuration.listeners, findings)
    check_entities(configuration.authzen, findings)
    if configuration.webhook_secret is not None:
        check_webhook(configuration.webhook_secret, findings)


def _check_files(configuration: Configuration, findings: Findings, starting: bool) -> None:
    if configuration.git is not None:
        check_git(configuration.git, findings, starting=starting)
    if configuration.bundle is not None:
        check_bundle(configuration.bundle, findings, starting=starting)
    for number, issuer in enumerate(configuration.issuers):
        check_issuer(number, issuer, findings, time.time, keys_may_come=starting)
    redis = None if configuration.revocations is None else configuration.revocations.redis
    if redis is not None:
        check_redis(redis, findings)
    if not starting:  # which opens it
        check_decision_log(configuration.decision_log, findings)


def _directory(table: Policies) -> DirectorySettings:
    return DirectorySettings(table.settle, table.follow_outside, table.require_tests)


def _interpret(file: File, base: Path, findings: Findings) -> Configuration:
    server = file.server
    check_source(file.policies, findings)
    state = state_of(file.policies, base)
    listeners = read_listeners(file, base, state, findings)
    if server.workers > 1 and file.dpop.enabled:
        findings.add(
            "P5004",
            ("server", "workers"),
            "several workers do not know which DPoP proofs the others have seen",
            "set `enabled = false` in `[dpop]`, or run one worker",
        )
    git = read_git(file.policies.git, base, findings)
    bundle = read_bundle(file.policies.bundle, base, findings)
    return Configuration(
        policies=folder_of(file.policies, base),
        directory=_directory(file.policies),
        state=state,
        git=git,
        shadow=read_shadow(file.policies, git, bundle, base, findings),
        bundle=bundle,
        webhook_secret=read_webhook(file, listeners, base, findings),
        listeners=listeners,
        server=server,
        tokens=file.tokens,
        dpop=read_dpop(file.dpop, base, findings),
        decision_log=read_decision_log(file.decision_log, server.workers, base, findings),
        log=file.log,
        in_challenges=file.metadata.in_challenges,
        details_in_challenges=file.metadata.details_in_challenges,
        authzen=read_authzen(file.authzen, listeners, base, findings),
        envoy=read_envoy(file.envoy, findings),
        apis=_apis(file.apis, findings),
        revocations=read_revocations(file.revocations, base, findings),
        issuers=_issuers(file.issuers, read_dialects(file.dialects, findings), base, findings),
        file=file,
        source=findings.source,
    )


def _issuers(
    tables: Sequence[Issuer], dialects: Mapping[str, Dialect], base: Path, findings: Findings
) -> tuple[IssuerSettings, ...]:
    made: list[IssuerSettings] = []
    for number, table in enumerate(tables):
        values = msgspec.structs.asdict(table)
        for name in ("jwks_file", "ca_file"):
            if values[name] is not None:
                values[name] = str(base / values[name])
        values["apis"] = None if table.apis is None else frozenset(table.apis)
        values["clients"] = {api: frozenset(clients) for api, clients in table.clients.items()}
        values["dialects"] = dialects
        key = ("issuers", number)
        values["introspection"] = introspection_settings(
            table.introspection, (*key, "introspection"), base, findings
        )
        values["userinfo"] = userinfo_settings(table.userinfo, (*key, "userinfo"), findings)
        try:
            made.append(IssuerSettings(**values))
        except InvalidIssuerSettings as error:
            findings.add("P5006", ("issuers", number, error.setting), str(error))
        else:
            _check_ending(number, made[-1], findings)
    try:
        check_issuers(made)
    except InvalidIssuerSettings as error:
        names = [table.issuer for table in tables]
        last = len(names) - 1 - names[::-1].index(error.issuer)
        findings.add("P5006", ("issuers", last, error.setting), str(error))
    return tuple(made)


def _check_ending(number: int, settings: IssuerSettings, findings: Findings) -> None:
    """Warn of a name whose last slash is one too many or missing: no token would have it."""
    usual = with_usual_ending(settings.issuer, settings.dialect)
    if usual == settings.issuer:
        return
    ends = "ends" if usual.endswith("/") else "does not end"
    findings.add(
        "P5006",
        ("issuers", number, "issuer"),
        f"issuer {escaped(settings.issuer)}: `iss` of the dialect {settings.dialect} {ends} with "
        "a slash",
        f"write `{usual}`, or compare with `policyd token inspect` of a real token: each character "
        "of `iss` counts",
        severity=Severity.WARNING,
    )


def _apis(tables: Mapping[str, ApiTable], findings: Findings) -> dict[str, ApiSettings]:
    found: dict[str, ApiSettings] = {}
    for name, table in tables.items():
        if table.resource is not None and not is_resource(table.resource):
            findings.add(
                "P5004",
                ("apis", name, "resource"),
                f"`{table.resource}` is no resource identifier",
                "write an https URL without query or fragment (RFC 9728), or to develop with an "
                "http URL of this machine",
            )
        elif table.resource in {other.resource for other in found.values()} - {None}:
            findings.add(
                "P5004",
                ("apis", name, "resource"),
                f"`{table.resource}` is another API's resource identifier too",
            )
        if table.documentation is not None and not is_web_page(table.documentation):
            findings.add(
                "P5004",
                ("apis", name, "documentation"),
                f"`{table.documentation}` is no https URL",
            )
        found[name] = ApiSettings(**msgspec.structs.asdict(table))
    return found
