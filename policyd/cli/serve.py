"""`policyd serve`: run the daemon."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policyd.cli.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from policyd.config.configuration import Configuration
    from policyd.server.supervisor import Supervisor

DEFAULT = Path("policyd.toml")
_FINDINGS, _USAGE = 1, 2
_GREETING = """\
Development mode: the daemon accepts tokens of {issuer}. The key
    {key}
is valid until this process ends.{further} Make a token:
    policyd token mint --key {key} \\
        --issuer {issuer} --audience AUDIENCE --scope SCOPE
"""


@click.command(
    "serve",
    short_help="Run the daemon.",
    epilog=examples(
        "policyd serve --config policyd.toml",
        "policyd serve --dev",
        "POLICYD_LOG__FORMAT=json policyd serve",
    ),
)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="The configuration file.",
)
@click.option(
    "--dev",
    "development",
    is_flag=True,
    help="Trust only a development issuer, whose key is new at each start, and no issuer of the "
    "configuration. Explain decisions to every caller. Listens on loopback only. Needs no "
    "configuration: without one, the policies are in `policies`.",
)
@click.option("--worker", type=int, hidden=True)
@click.option("--line", type=int, hidden=True)
def command(path: Path, development: bool, worker: int | None, line: int | None) -> None:
    """Answer authorization requests over gRPC and HTTP until SIGTERM or SIGINT.

    SIGHUP reads the configuration again. Changed issuers take effect at once; other changes need a
    restart. A supervisor that speaks sd_notify, such as systemd, is told when the daemon serves,
    and that it is alive.

    Decisions are logged to standard output, or where the configuration says. Events of the daemon
    are logged to standard error.
    """
    # Imported here, so that the other verbs do not load gRPC.
    from policyd.cli.startup import report, report_refused, report_unreadable
    from policyd.config.findings import ConfigurationInvalid
    from policyd.pdp.activation import PoliciesRejected, SetRefused
    from policyd.sources.policies import PoliciesUnreadable

    try:
        _serve(path, development, worker, line)
    except ConfigurationInvalid as error:
        report(error.diagnostics, path)
        raise click.exceptions.Exit(_USAGE) from None
    except PoliciesRejected as error:
        report(error.diagnostics, path)
        raise click.exceptions.Exit(_FINDINGS) from None
    except SetRefused as error:
        report_refused(error, error.places, path)
        raise click.exceptions.Exit(_FINDINGS) from None
    except PoliciesUnreadable as error:
        report_unreadable(error, path, "`policyd init` makes a policy set to begin with")
        raise click.exceptions.Exit(_USAGE) from None


def _serve(path: Path, development: bool, worker: int | None, line: int | None) -> None:
    # gRPC writes to standard error what policyd logs itself. It reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from policyd.config.configuration import load_configuration, without_file
    from policyd.config.listeners import AddressUnusable
    from policyd.server import log
    from policyd.server.connections import raise_descriptor_limit
    from policyd.server.memory import economise
    from policyd.server.supervisor import Supervisor

    if development and path == DEFAULT and not path.exists():
        configuration = without_file(path)
    else:
        configuration = load_configuration(path, development=development, files=True, starting=True)
    log.configure(configuration.log.level, configuration.log.format)
    raise_descriptor_limit()
    economise()
    supervisor = Supervisor.of(os.environ)
    try:
        _run(configuration, path, supervisor, development=development, worker=worker, line=line)
    except AddressUnusable as error:
        raise error.at(configuration.source) from None


def _run(
    configuration: Configuration,
    path: Path,
    supervisor: Supervisor,
    *,
    development: bool,
    worker: int | None,
    line: int | None,
) -> None:
    """Run the daemon, or its workers, until they are stopped. Raises `AddressUnusable`."""
    from policyd.config.configuration import load_configuration

    if development:
        _serve_development(configuration, supervisor)
    elif configuration.server.workers > 1 and worker is None:
        _serve_by_workers(configuration, path, supervisor)
    else:
        from policyd.server.lifecycle import Daemon
        from policyd.server.line import Line

        if worker is not None:
            from policyd.server.workers import configuration_of, pin

            pin(worker)
            configuration = configuration_of(worker, configuration)
        daemon = Daemon(
            configuration,
            reload=lambda: load_configuration(path, files=True),
            supervisor=supervisor,
            line=None if line is None else Line.inherited(line),
        )
        daemon.run(_patience(configuration))


def _serve_by_workers(configuration: Configuration, path: Path, supervisor: Supervisor) -> None:
    from policyd.server import workers

    code = workers.run(
        configuration,
        lambda number: workers.this_program(
            "serve", "--config", str(path), "--worker", str(number)
        ),
        supervisor,
    )
    if code:
        raise click.exceptions.Exit(code)


def _serve_development(configuration: Configuration, supervisor: Supervisor) -> None:
    import msgspec

    from policyd.server.development import development_issuer, development_listeners
    from policyd.server.lifecycle import Daemon

    with development_issuer() as issuer:
        others = (
            " The issuers of the configuration are not trusted."
            if _has_issuers(configuration)
            else ""
        )
        greeting = _GREETING.format(
            issuer=issuer.settings.issuer, key=issuer.key_file, further=others
        )
        click.echo(greeting, err=True)
        trusting = msgspec.structs.replace(
            configuration,
            issuers=(issuer.settings,),
            listeners=development_listeners(configuration.listeners),
        )
        Daemon(trusting, supervisor=supervisor).run(_patience(configuration))


def _has_issuers(configuration: Configuration) -> bool:
    return bool(configuration.file.issuers)


def _patience(configuration: Configuration) -> Callable[[], None]:
    """Return the function to call when a stop is requested: from then on, its time runs."""
    from policyd.server import watchdog

    server = configuration.server
    return watchdog.Watchdog(server.drain + server.grace + watchdog.MARGIN).arm
