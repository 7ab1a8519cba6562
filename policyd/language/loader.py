"""The one function that turns policy files into a policy set, whole or not at all.

The daemon and `policyd check` both call it.
"""

from __future__ import annotations

import gc
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import PurePath

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, has_errors
from policyd.language import nodes, policy
from policyd.language.checker import check
from policyd.language.findings import Findings
from policyd.language.parser import Parsed, parse


class Loaded(msgspec.Struct, frozen=True):
    """`policies` is `None` exactly when `diagnostics` has an error. Diagnostics are sorted."""

    policies: policy.PolicySet | None
    diagnostics: tuple[Diagnostic, ...]


def load(sources: Sequence[Source]) -> Loaded:
    """Parse and check a set of files. The order of `sources` does not matter."""
    with _collector_paused():
        return _load(sources)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A load makes many objects and no garbage in circles; looking for it would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(sources: Sequence[Source]) -> Loaded:
    sources = sorted(sources, key=lambda source: source.name)
    found = Findings()
    by_api: defaultdict[str, list[Parsed]] = defaultdict(list)
    unreadable: list[Parsed] = []
    for source in sources:
        parsed = parse(source)
        for finding in parsed.diagnostics:
            found.add(finding)
        if parsed.file is None:
            unreadable.append(parsed)
        else:
            by_api[parsed.file.api.text].append(parsed)
    apis = {name: check([*files, *unreadable], found.add) for name, files in sorted(by_api.items())}
    _check_audiences(by_api, found)
    if not apis and not unreadable:
        found.add(
            Diagnostic(
                "P1017",
                "there is no policy",
                None,
                help="a policy file is named `*.policy` and begins with `api NAME`",
            )
        )
    diagnostics = found.sorted()
    if has_errors(diagnostics):
        return Loaded(None, diagnostics)
    return Loaded(policy.PolicySet(apis, revision(sources)), diagnostics)


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
            for declaration in one.file.declarations:
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
        help="a token for one API is never good for another: give each its own audience",
    )
