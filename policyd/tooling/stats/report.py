"""Statistics of a decision log as text and JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.tooling.stats.counting import Asked, Figures
from policyd.tooling.stats.frequent import Frequent

_TOP: Final = 10
_QUANTILES: Final = (("half", 0.5), ("9 of 10", 0.9), ("99 of 100", 0.99))


class Answers(msgspec.Struct):
    """How often a question was asked, and answered so."""

    allowed: int = 0
    denied: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)


class Idle(msgspec.Struct, frozen=True):
    """A rule that was never among those that decided, `asked` being how often one of its actions
    was asked for."""

    api: str
    rule: str
    effect: str
    asked: int


class Spare(msgspec.Struct, frozen=True):
    """Scopes that tokens of a client had, and that nothing which was allowed needed, each with the
    number of such decisions."""

    api: str
    issuer: str
    client: str
    scopes: tuple[tuple[str, int], ...]


class Report(msgspec.Struct, frozen=True):
    """`policies` tell what could have been used; without them only what was used is known."""

    figures: Figures
    policies: PolicySet | None = None

    @property
    def summary(self) -> str:
        """Say in one line how many decisions there are."""
        each = self.questions().values()
        allowed, denied = sum(one.allowed for one in each), sum(one.denied for one in each)
        if not allowed + denied:
            return "there is no decision in the log"
        word = "decision" if allowed + denied == 1 else "decisions"
        return f"{allowed + denied:,} {word}: {allowed:,} allowed, {denied:,} denied"

    @property
    def period(self) -> str:
        """From when to when the decisions are."""
        first, last = self.figures.first, self.figures.last
        return "" if first is None or last is None else f"{moment(first)} to {moment(last)}"

    def questions(self) -> dict[Asked, Answers]:
        """Return how questions were answered, by API, resource type and action."""
        found: defaultdict[Asked, Answers] = defaultdict(Answers)
        for key, number in self.figures.answers.items():
            api, action, resource, effect, reason = key
            one = found[api, action, resource]
            if effect == "allow":
                one.allowed += number
            else:
                one.denied += number
                one.reasons[reason] += number
        return dict(sorted(found.items(), key=lambda one: (one[0][0], one[0][2], one[0][1])))

    def reasons(self) -> list[tuple[str, str, int]]:
        """Return the reasons of refusals, by API, the most frequent first."""
        found: Counter[tuple[str, str]] = Counter()
        for (api, _, _), one in self.questions().items():
            for reason, number in one.reasons.items():
                found[api, reason] += number
        listed = [(api, reason, number) for (api, reason), number in found.items()]
        return sorted(listed, key=lambda one: (-one[2], one))

    def idle(self) -> list[Idle]:
        """Return the rules that never decided: those whose actions were asked for most, first."""
        if self.policies is None:
            return []
        asked = self.questions()
        found: dict[tuple[str, str], Idle] = {}
        for api in self.policies.apis.values():
            for rule in api.rules:
                if (api.name, rule.name) in self.figures.decided:
                    continue
                number = sum(
                    one.allowed + one.denied
                    for action in rule.actions
                    if (one := asked.get((api.name, action, rule.resource))) is not None
                )
                before = found.get((api.name, rule.name))
                number += 0 if before is None else before.asked
                found[api.name, rule.name] = Idle(api.name, rule.name, rule.effect, number)
        return sorted(found.values(), key=lambda one: (-one.asked, one.api, one.rule))

    def spare(self) -> list[Spare]:
        """Return the scopes that clients did not need, those in most tokens first."""
        found: list[Spare] = []
        for (api, issuer, client), needs in self.figures.clients.items():
            left = [(one, had) for one, had in needs.granted.items() if one not in needs.needed]
            if left:
                scopes = tuple(sorted(left, key=lambda one: (-one[1], one[0])))
                found.append(Spare(api, issuer, client, scopes))
        return sorted(found, key=lambda one: (-one.scopes[0][1], one.api, one.client))

    def decided(self) -> list[tuple[str, str, int]]:
        """Return how often each rule was among those that decided, the most frequent first."""
        listed = [(api, rule, number) for (api, rule), number in self.figures.decided.items()]
        return sorted(listed, key=lambda one: (-one[2], one))

    def latencies(self) -> list[tuple[str, int]]:
        """Return durations in microseconds that shares of the decisions did not exceed."""
        latency = self.figures.latency
        found = [(name, latency.quantile(share)) for name, share in _QUANTILES]
        return [(name, value) for name, value in found if value is not None]

    def remarks(self) -> Iterator[str]:
        """Say what there is beside decisions."""
        figures = self.figures
        if figures.partial:
            yield f"{figures.partial:,} answers to questions with unknown facts: not counted"
        if figures.shadows:
            yield f"{figures.shadows:,} records of shadow policies: not counted"
        if figures.gaps:
            yield f"{figures.gaps:,} gaps, where {figures.dropped:,} records are missing"
        if figures.sampled:
            yield (
                f"{figures.sampled:,} allows are samples, and stand for about "
                f"{round(figures.stand_for):,}: the shares above are not those of all decisions"
            )
        if figures.beyond:
            yield f"{figures.beyond:,} times there was no room for another name"
        if self.policies is None:
            yield "with --policies, rules that never decided and scopes nobody needs are shown too"


def moment(time: float) -> str:
    """Return seconds since the epoch as RFC 3339 text."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def about(names: Frequent[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return the most frequent names with their issuers, and how often they are there."""
    least = "at least " if names.lost else ""
    return [(issuer, name, f"{least}{number:,}") for (issuer, name), number in names.top(_TOP)]


# -- text ----------------------------------------------------------------------------------------


def stats_text(report: Report) -> str:
    """Return the report for a terminal."""
    return "".join(f"{printable(line)}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    if report.period:
        yield report.period
    for title, rows in _tables(report):
        yield from _table(title, rows)
    if report.latencies():
        yield ""
        within = ", ".join(f"{name} within {value:,} µs" for name, value in report.latencies())
        yield f"A decision took: {within}; the longest {report.figures.latency.most:,} µs"
    rest = [*report.remarks(), *report.figures.faults.text()]
    if rest:
        yield ""
        yield from rest


_Table = tuple[str, Iterable[tuple[str, ...]]]


def _tables(report: Report) -> Iterator[_Table]:
    """Yield each table's title and rows."""
    yield from _of_questions(report)
    yield from _of_rules(report)
    yield from _of_callers(report)


def _of_questions(report: Report) -> Iterator[_Table]:
    missing = sorted(report.figures.missing.items(), key=lambda one: (-one[1], one[0]))
    yield (
        "Questions",
        (
            (f"{api}: {action} on {resource}", f"{one.allowed:,} allowed", f"{one.denied:,} denied")
            for (api, action, resource), one in report.questions().items()
        ),
    )
    yield (
        "Refusals by reason",
        ((f"{api}: {reason}", f"{number:,}") for api, reason, number in report.reasons()),
    )
    yield (
        "Scopes that were missing",
        ((f"{api}: {scope}", f"{number:,}") for (api, scope), number in missing[:_TOP]),
    )


def _of_rules(report: Report) -> Iterator[_Table]:
    idle = report.idle()
    yield (
        "Rules that decided",
        ((f"{api}: {rule}", f"{number:,}") for api, rule, number in report.decided()),
    )
    yield (
        "Rules that never decided, though their actions were asked for",
        (
            (f"{one.api}: {one.effect} {one.rule}", f"{one.asked:,} asked")
            for one in idle
            if one.asked
        ),
    )
    yield (
        "Rules whose actions nobody asked for",
        ((f"{one.api}: {one.effect} {one.rule}",) for one in idle if not one.asked),
    )


def _of_callers(report: Report) -> Iterator[_Table]:
    figures = report.figures
    yield (
        "Subjects refused most",
        ((f"{name} ({issuer})", number) for issuer, name, number in about(figures.subjects)),
    )
    yield (
        "Clients refused most",
        ((f"{name} ({issuer})", number) for issuer, name, number in about(figures.applications)),
    )
    yield (
        "Scopes that clients had and nothing they were allowed needed",
        (
            (f"{one.api}: {one.client} ({one.issuer})", scope, f"in {number:,} decisions")
            for one in report.spare()
            for scope, number in one.scopes
        ),
    )


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield a title and rows in columns, numbers to the right; nothing without rows."""
    listed = list(rows)
    if not listed:
        return
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    yield ""
    yield title
    for first, *others in listed:
        cells = [first.ljust(widths[0]) if others else first]
        cells += [one.rjust(width) for one, width in zip(others, widths[1:], strict=True)]
        yield "  " + "  ".join(cells)


# -- JSON ----------------------------------------------------------------------------------------


def stats_json(report: Report) -> bytes:
    """Return the report as one JSON object."""
    figures = report.figures
    document: dict[str, Json] = {
        "summary": report.summary,
        "first": None if figures.first is None else moment(figures.first),
        "last": None if figures.last is None else moment(figures.last),
        "lines": figures.lines,
        "decisions": figures.decisions,
        "partial": figures.partial,
        "shadow": figures.shadows,
        "gaps": figures.gaps,
        "dropped": figures.dropped,
        "beyond": figures.beyond,
        "sampled": figures.sampled,
        "stand_for": round(figures.stand_for),
        "questions": [
            {
                "api": api,
                "action": action,
                "resource_type": resource,
                "allowed": one.allowed,
                "denied": one.denied,
                "reasons": dict(one.reasons),
            }
            for (api, action, resource), one in report.questions().items()
        ],
        "missing_scopes": [
            {"api": api, "scope": scope, "count": number}
            for (api, scope), number in sorted(figures.missing.items())
        ],
        "rules": [
            {"api": api, "rule": rule, "decided": number} for api, rule, number in report.decided()
        ],
        "never_decided": [
            {"api": one.api, "rule": one.rule, "effect": one.effect, "asked": one.asked}
            for one in report.idle()
        ],
        "subjects_refused": _names(figures.subjects),
        "clients_refused": _names(figures.applications),
        "scopes_not_needed": [
            {
                "api": one.api,
                "issuer": one.issuer,
                "client": one.client,
                "scopes": [{"scope": scope, "decisions": had} for scope, had in one.scopes],
            }
            for one in report.spare()
        ],
        "latency_us": {
            **{f"p{share * 100:g}": figures.latency.quantile(share) for _, share in _QUANTILES},
            "max": figures.latency.most,
        },
        "unusable": figures.faults.as_json(),
    }
    return encode_json(document)


def _names(names: Frequent[tuple[str, str]]) -> list[Json]:
    return [
        {"issuer": issuer, "name": name, "count": number, "exact": not names.lost}
        for (issuer, name), number in names.top(_TOP)
    ]
