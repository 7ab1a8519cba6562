"""What `decision_log.mask` names, held against the policies: what names nothing hides nothing.

Which facts there are is known once the policies are loaded, so this is judged later than the rest
of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable

from policyd.audit import UnknownFact
from policyd.config.findings import Findings
from policyd.diagnostics import Diagnostic, Source

_HOW = (
    "write a fact as a policy does: `token.NAME`, `userinfo.NAME`, `resource.NAME`, `resource.id` "
    "or `context.NAME`"
)


def mask_findings(source: Source, unknown: Iterable[UnknownFact]) -> list[Diagnostic]:
    """Return a finding for each fact that `Mask.unknown` returned, placed in the configuration."""
    findings = Findings(source)
    for fact in unknown:
        help_ = _HOW if fact.meant is None else f"did you mean `{fact.meant}`?"
        findings.add(
            "P5013",
            ("decision_log", "mask"),
            f"`{fact.path}` in `mask` names a fact that no API declares",
            help_,
        )
    return findings.found
