"""Policy files to a policy set, complete or not at all.

The daemon and `policyd check` get the same result, because both use this module: `load` once, or a
`Loader` each time that files change. The cache of a `Loader` saves time and changes no result.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePath

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Suggestions, has_errors
from policyd.language import nodes, policy
from policyd.language.checker import Checked, check
from policyd.language.findings import Findings
from policyd.language.parser import Parsed, parse


class Loaded(msgspec.Struct, frozen=True):
    """`policies` is `None` exactly when `diagnostics` has an error. Diagnostics are sorted."""

    policies: policy.PolicySet | None
    diagnostics: tuple[Diagnostic, ...]


def load(sources: Sequence[Source]) -> Loaded:
    """Parse and check a set of files. The order of `sources` does not matter."""
    return Loader().load(sources)


class Loader:
    """Loads one state of the same files after another, and redoes only what changed.

    It keeps the syntax trees of the files that it loaded last, some 2.5 kB a rule. Not to be used
    by two threads at a time. `parsed` is called after each file that was parsed.
    """

    def __init__(self, parsed: Callable[[], object] = lambda: None) -> None:
        self._after_file = parsed
        self._parsed: dict[Source, Parsed] = {}
        self._checked: dict[str, Checked] = {}

    def load(self, sources: Sequence[Source]) -> Loaded:
        """Return what `load` returns."""
        before = self._parsed
        self._parsed = {source: before.get(source) or self._parse(source) for source in sources}
        found = Findings()
        checked = self._check(found)
        diagnostics = found.sorted()
        if has_errors(diagnostics):
            self._checked = {}
            return Loaded(None, diagnostics)
        self._checked = checked
        apis = {name: one.api for name, one in checked.items()}
        return Loaded(policy.PolicySet(apis, revision(_by_name(sources))), diagnostics)

    def _parse(self, source: Source) -> Parsed:
        parsed = parse(source)
        self._after_file()
        return parsed

    def _check(self, found: Findings) -> dict[str, Checked]:
        by_api: defaultdict[str, list[Parsed]] = defaultdict(list)
        unreadable: list[Parsed] = []
        for source in _by_name(self._parsed):
            parsed = self._parsed[source]
            for finding in parsed.diagnostics:
                found.add(finding)
            if parsed.file is None:
                unreadable.append(parsed)
            else:
                by_api[parsed.file.api.text].append(parsed)
        suggestions = Suggestions()
        checked = {
            name: check([*files, *unreadable], found.add, suggestions, self._checked.get(name))
            for name, files in sorted(by_api.items())
        }
        _check_audiences(by_api, found)
        if not checked and not unreadable:
            found.add(
                Diagnostic(
                    "P1017",
                    "there is no policy",
                    None,
                    help="a policy file is named `*.policy` and begins with `api NAME`",
                )
            )
        return checked


def _by_name(sources: Iterable[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: source.name)


def revision(sources: Sequence[Source]) -> str:
    """A digest of names and contents: the same files give the same revision everywhere.

    Names count from the deepest folder that holds all files, wherever they were read from.
    """
    folders = [PurePath(source.name).parent.parts for source in sources]
    levels = zip(*folders, strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    digest = hashlib.sha256()
    for source in sources:
        for part in ("/".join(PurePath(source.name).parts[shared:]), source.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()[:16]


def _check_audiences(by_api: Mapping[str, Sequence[Parsed]], found: Findings) -> None:
    """No two APIs share an audience, and none is named like another's (docs/semantics.md)."""
    owners: dict[str, tuple[str, Label]] = {}
    names: dict[str, Label] = {}
    for api, parsed in sorted(by_api.items()):
        for one in parsed:
            assert one.file is not None
            names.setdefault(api, Label(one.file.source, one.file.api.span))
            for declaration in one.file.surroundings:
                if not isinstance(declaration, nodes.Audience):
                    continue
                value = declaration.value
                label = Label(one.file.source, value.span)
                owner, first = owners.setdefault(value.value, (api, label))
                if owner != api:
                    found.add(_shared(value.value, owner, label, first))
    for audience, (api, label) in owners.items():
        if audience in names and audience != api:
            found.add(
                Diagnostic(
                    "P1018",
                    f'the audience "{audience}" is the name of another API',
                    label,
                    (msgspec.structs.replace(names[audience], message="named here"),),
                    help="a request names an API by its name or by an audience; rename one",
                )
            )


def _shared(audience: str, owner: str, label: Label, first: Label) -> Diagnostic:
    return Diagnostic(
        "P1018",
        f'the audience "{audience}" belongs to API `{owner}` already',
        label,
        (msgspec.structs.replace(first, message=f"declared by `{owner}` here"),),
        help="a token for one API must not be accepted by another: give each its own audience",
    )
