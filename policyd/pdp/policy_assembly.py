"""The policies of a daemon and their sources, put together: those that serve, and their shadow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from policyd.audit import DecisionLog, Mask
from policyd.config.configuration import Configuration
from policyd.config.judging import policy_findings
from policyd.config.shadow import STATE, ShadowSettings
from policyd.decision.engine import Engine
from policyd.pdp.activation import Learns, Requirements
from policyd.pdp.policies import PolicyService
from policyd.pdp.policy_log import PolicyLog
from policyd.sources.policies import DirectorySource, PolicySource, Steps
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.state import StateFolder

if TYPE_CHECKING:
    from policyd.pdp.shadow import ShadowPolicies
    from policyd.pdp.shadow.sample import Sample


def serving_policies(
    configuration: Configuration, engine: Engine, learners: Sequence[Learns], mask: Mask
) -> PolicyService:
    """Return what loads the policies that serve."""
    table, steps = configuration.file.policies, Steps()
    state = None if configuration.state is None else StateFolder(configuration.state)
    return PolicyService(
        _source(configuration, steps, state),
        engine,
        learners,
        mask,
        configuration.issuers,
        lambda policies: policy_findings(configuration, policies),
        configuration.authzen.asserted,
        _as_opened(configuration.policies),
        requirements=_requirements(configuration, allow_api_removal=table.allow_api_removal),
        steps=steps,
        state=state,
        max_staleness=table.max_staleness,
    )


def shadow_policies(
    configuration: Configuration, sample: Sample, log: DecisionLog
) -> ShadowPolicies:
    """Return the shadow, which `sample` brings decisions, and which writes to `log`."""
    from policyd.pdp.shadow import ShadowPolicies
    from policyd.pdp.shadow.policies import ShadowJudge

    settings, steps = configuration.shadow, Steps()
    assert settings is not None, "there is a shadow"
    judge = ShadowJudge(sample, log.note)
    folder = settings.source if isinstance(settings.source, Path) else configuration.policies
    policies = PolicyService(
        _shadow_source(settings, configuration, steps),
        judge,
        (),
        Mask(),
        configuration.issuers,
        asserted=configuration.authzen.asserted,
        folder=_as_opened(folder),
        requirements=_requirements(configuration, allow_api_removal=True),
        steps=steps,
        says=PolicyLog("shadow policies", "what serves is not concerned"),
    )
    return ShadowPolicies(policies, judge)


def _requirements(configuration: Configuration, *, allow_api_removal: bool) -> Requirements:
    table, named = configuration.file.policies, Path(configuration.source.name)
    return Requirements(
        table.require_proofs,
        table.require_tests,
        allow_api_removal,
        named if named.exists() else None,
    )


def _source(configuration: Configuration, steps: Steps, state: StateFolder | None) -> PolicySource:
    git, bundle = configuration.git, configuration.bundle
    if git is None and bundle is None:
        return DirectorySource(configuration.policies, configuration.directory, steps=steps)
    assert state is not None, "what comes from elsewhere is kept"
    if bundle is not None:
        return _bundle(bundle, state, steps, configuration)
    assert git is not None, "there is a source"
    return _git(git, state, steps, configuration)


def _shadow_source(
    settings: ShadowSettings, configuration: Configuration, steps: Steps
) -> PolicySource:
    source = settings.source
    if isinstance(source, Path):
        return DirectorySource(source, configuration.directory, steps=steps)
    assert configuration.state is not None, "what comes from elsewhere has a folder"
    state = StateFolder(configuration.state / STATE)
    # Nothing is kept there: it is where a fetch may put its objects. Elsewhere would do.
    with suppress(OSError):
        state.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if isinstance(source, BundleSettings):
        return _bundle(source, state, steps, configuration)
    return _git(source, state, steps, configuration)


def _git(
    settings: GitSettings, state: StateFolder, steps: Steps, configuration: Configuration
) -> PolicySource:
    from policyd.sources.policies.git.source import GitSource

    with_tests = configuration.directory.with_tests
    return GitSource(settings, state, steps=steps, with_tests=with_tests)


def _bundle(
    settings: BundleSettings, state: StateFolder, steps: Steps, configuration: Configuration
) -> PolicySource:
    from policyd.sources.policies.bundle.source import BundleSource

    with_tests = configuration.directory.with_tests
    return BundleSource(settings, state, steps=steps, with_tests=with_tests)


def _as_opened(folder: Path) -> str:
    """Return a folder as somebody in the working directory would name it."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
