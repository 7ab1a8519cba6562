"""SIGHUP: the configuration read again while the daemon serves.

Input: the changed configuration. Output: a validator that trusts its issuers. An issuer with the
same settings continues with its keys, thread and cached tokens. A new or changed issuer takes
effect when it has its keys, or after two seconds. A removed issuer stops. Changed settings apply
from then on; only the keys of a changed issuer stay in use until its new keys have arrived.

Invariants: a configuration with findings changes nothing. Neither does one under which the policies
in service could mistake one issuer's subject for another's. The log names every other change, which
waits for a restart. No error here ends the daemon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from policyd.config.configuration import Configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.config.judging import policy_findings
from policyd.diagnostics import Diagnostic
from policyd.diagnostics.render import Format, first_error, render
from policyd.pdp.activation import PoliciesRejected
from policyd.pdp.policies import PolicyService
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator, wait_for_keys

#: Seconds that a new issuer has to fetch its keys before it takes over without.
PATIENCE: Final = 2.0
#: What of the file takes effect at once: `Configuration.issuers` is made of these.
_RELOADED: Final = ("issuers", "dialects")
_log = logging.getLogger(__name__)


class ReloadFigures(msgspec.Struct, frozen=True):
    """What came of the last look at the configuration, the one at start included.

    `succeeded_at` is when the last one was taken over, in seconds since the epoch; `problem` says
    why the last one was not.
    """

    succeeded_at: float
    problem: str | None = None


OpenIssuers = Callable[[Sequence[IssuerSettings], Iterable[Issuer]], Iterable[Issuer]]


class Reconfiguration:
    """Applies a changed configuration to `validator`. One call at a time.

    `serving` is what the daemon was started with, `load` reads what it should be now, or is `None`
    where there is nothing to read again. `open_issuers` makes issuers of settings, and takes over
    those that are there; `check` looks at them. All three raise `ConfigurationInvalid`.
    """

    def __init__(
        self,
        serving: Configuration,
        load: Callable[[], Configuration] | None,
        validator: Validator,
        policies: PolicyService,
        open_issuers: OpenIssuers,
        check: Callable[[Iterable[Issuer]], None],
        clock: Callable[[], float] = time.time,
        followers: Sequence[Callable[[Sequence[IssuerSettings]], None]] = (),
    ) -> None:
        """`followers` are told of the issuers that were taken over."""
        self._serving = serving
        self._load = load
        self._validator = validator
        self._policies = policies
        self._open = open_issuers
        self._check = check
        self._clock = clock
        self._followers = tuple(followers)
        self.figures = ReloadFigures(clock())

    def apply(self) -> None:
        """Read the configuration and take over what can be. Raises nothing: the log tells.

        Keys are always fetched again: the operator who sends the signal may know that they changed.
        """
        self._validator.fetch_keys()
        if self._load is None:
            _log.warning("there is no configuration to read again")
            return
        try:
            configuration = self._load()
            self._take_over(configuration)
            waiting = tuple(_differences(self._serving, configuration))
        except ConfigurationInvalid as error:
            self._reject("the changed configuration has errors; nothing changed", error.diagnostics)
        except PoliciesRejected as error:
            self._reject(
                "the policies do not go with the changed issuers; nothing changed",
                error.diagnostics,
            )
        except Exception:
            # A defect must not end the daemon: what serves goes on.
            message = "reading the configuration again failed"
            _log.exception(message)
            self._failed(message)
        else:
            self.figures = ReloadFigures(self._clock())
            warn(configuration)
            if waiting:
                _log.warning("settings changed that wait for a restart", extra={"keys": waiting})

    def _take_over(self, configuration: Configuration) -> None:
        settings = configuration.issuers
        before = {issuer.settings.issuer: issuer for issuer in self._validator.issuers}
        issuers = tuple(self._open(settings, before.values()))
        self._check(issuers)
        fresh = [one for one in issuers if one is not before.get(one.settings.issuer)]
        for issuer in fresh:
            issuer.keys.start()
        ready = wait_for_keys(fresh, PATIENCE)
        # All else waits for a restart, so what was there at start is judged.
        effective = msgspec.structs.replace(
            self._serving, issuers=settings, source=configuration.source
        )
        try:
            self._policies.change_issuers(
                settings,
                lambda: self._validator.configure(issuers),
                lambda policies: policy_findings(effective, policies),
            )
        except PoliciesRejected:
            for issuer in fresh:
                issuer.keys.stop()
            raise
        for follow in self._followers:
            follow(settings)
        after = {issuer.settings.issuer for issuer in issuers}
        _log.info(
            "configuration read again",
            extra={
                "issuers": sorted(after),
                "added": sorted(after - before.keys()),
                "changed": sorted({one.settings.issuer for one in fresh} & before.keys()),
                "removed": sorted(before.keys() - after),
            },
        )
        if not ready:
            _log.warning("some keys are not there yet; until then those from before serve, if any")

    def _reject(self, message: str, findings: Sequence[Diagnostic]) -> None:
        places = render(findings, Format.CONCISE)
        _log.error(message, extra={"places": places.splitlines(), "findings": render(findings)})
        self._failed(f"{message}: {first_error(findings)}")

    def _failed(self, problem: str) -> None:
        self.figures = msgspec.structs.replace(self.figures, problem=problem)


def warn(configuration: Configuration) -> None:
    """Say in the log what a configuration has warnings about."""
    if configuration.warnings:
        places = render(configuration.warnings, Format.CONCISE).splitlines()
        extra = {"places": places, "findings": render(configuration.warnings)}
        _log.warning("the configuration has warnings", extra=extra)


def _differences(serving: Configuration, wanted: Configuration) -> Iterator[str]:
    """Yield the keys, as the file has them, whose values differ and that need a restart."""
    before, after = msgspec.to_builtins(serving.file), msgspec.to_builtins(wanted.file)
    yield from _changed(before, after, "")


def _changed(
    before: Mapping[str, object], after: Mapping[str, object], prefix: str
) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or (not prefix and name in _RELOADED):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed(old, new, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
