"""`[policies.shadow]` of the configuration: where the policies are that may serve next."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policyd.config.bundles import other_bundle
from policyd.config.findings import Findings, Key
from policyd.config.policies import check_ref
from policyd.config.policy_tables import Policies
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.git.settings import GitSettings

_SHADOW: Key = ("policies", "shadow")
#: Where the source of the shadow keeps its files, in the state folder.
STATE = "shadow"


class ShadowSettings(msgspec.Struct, frozen=True):
    """Where the shadow policies are, a folder, a repository or a bundle, and the share of checks
    that they decide too."""

    source: Path | GitSettings | BundleSettings
    sample: float


def read_shadow(
    table: Policies,
    git: GitSettings | None,
    bundle: BundleSettings | None,
    base: Path,
    findings: Findings,
) -> ShadowSettings | None:
    """Return what the shadow is told, `None` without one. `git` or `bundle` is where what serves
    is."""
    shadow = table.shadow
    if shadow is None:
        return None
    if sum(one is not None for one in (shadow.ref, shadow.path, shadow.bundle)) != 1:
        findings.add(
            "P5004",
            _SHADOW,
            "`policies.shadow` names no policies, or two sets of them",
            "write `ref = …`, of the repository in `[policies.git]`, `bundle = …`, another "
            "one than that in `[policies.bundle]`, or `path = …`, a folder",
        )
        return None
    if shadow.path is not None:
        return ShadowSettings(base / shadow.path, shadow.sample)
    if shadow.bundle is not None:
        found = other_bundle(shadow.bundle, bundle, (*_SHADOW, "bundle"), base, findings)
        return None if found is None else ShadowSettings(found, shadow.sample)
    assert shadow.ref is not None, "one of them is there"
    if git is None:
        findings.add(
            "P5004",
            (*_SHADOW, "ref"),
            "`policies.shadow.ref` needs a repository, and the policies come from none",
            "add `[policies.git]`, or write `path = …`, a folder",
        )
        return None
    check_ref(shadow.ref, (*_SHADOW, "ref"), findings)
    # The next policies are rebased as often as their author likes: nobody is answered by them.
    source = msgspec.structs.replace(git, ref=shadow.ref, allow_rewind=True)
    return ShadowSettings(source, shadow.sample)
