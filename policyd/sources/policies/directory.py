"""The policies of a directory.

The input is a directory, the output `PolicyFiles`: every `*.policy` file below it except
`*_test.policy`, by its relative path. Test files are read as well, but not returned: a warning
reports a rule in one of them.

Invariants: the result is one state of the directory, not a mixture of two (a walk before and a walk
after the reading agree). Every visible name that ends in `.policy` is read, or is an error. No
file, and not all files together, take more memory than the limits.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from policyd.diagnostics import Diagnostic, Label, Severity, Source, Span
from policyd.language import limits
from policyd.language.parser import TEST_SUFFIX, misplaced
from policyd.language.text import Read, too_long
from policyd.language.text import read as read_text
from policyd.regular_file import TooLong
from policyd.sources.policies.model import PoliciesUnreadable, PolicyFiles, Provenance
from policyd.sources.policies.reading import read_bytes
from policyd.sources.policies.walk import FoundFile, Misnamed, Problem, Walk, walk

#: The limit of all files together, in bytes.
BYTES: Final = 64 * 1024 * 1024
_ATTEMPTS: Final = 20
_PAUSE: Final = 0.05

ReadBytes = Callable[[str, str, int], bytes]


class State(msgspec.Struct, frozen=True):
    """Files, the walk that listed them, and whether each listed file was read."""

    files: PolicyFiles
    walk: Walk
    whole: bool


def read_directory(
    root: Path,
    *,
    follow_outside: bool = False,
    pause: Callable[[float], object] = time.sleep,
    read: ReadBytes = read_bytes,
    earlier: PolicyFiles | None = None,
    with_tests: bool = False,
) -> State:
    """Read the policy files below `root`, each with `read(base, path, limit)`.

    `pause(seconds)` waits for a writer to finish. Files with the same bytes as in an `earlier`
    state keep their sources.

    Raises:
        PoliciesUnreadable: see there.
    """
    before = walk(root, follow_outside=follow_outside)
    for _ in range(_ATTEMPTS):
        contents = read_files(before, read)
        after = walk(root, follow_outside=follow_outside)
        if before == after:
            provenance = Provenance("directory", str(root))
            files = files_of(contents, findings_of(before), earlier, provenance, with_tests)
            return State(files, before, all(one.data is not None for one in contents))
        before = after
        pause(_PAUSE)
    raise PoliciesUnreadable(f"{root} keeps changing")


class Content(msgspec.Struct, frozen=True):
    """The bytes of a file; if `data` is `None`, a finding says why they could not be read."""

    name: str
    data: bytes | None
    finding: Diagnostic | None = None

    @property
    def is_test(self) -> bool:
        """Whether the file holds tests, by its name."""
        return self.name.endswith(TEST_SUFFIX)


def read_files(
    found: Walk, read: ReadBytes = read_bytes, called: Callable[[str], str] = str
) -> list[Content]:
    """Read the files that a walk found; `called` gives the name of each.

    Raises:
        PoliciesUnreadable: together they exceed the limit.
    """
    contents: list[Content] = []
    left = BYTES
    for entry in found.files:
        content = _read(entry, found.base, read, called(entry.name))
        left -= len(content.data or b"")
        if left < 0:
            raise PoliciesUnreadable(f"the policy files hold more than {BYTES:,} bytes")
        contents.append(content)
    return contents


def _read(entry: FoundFile, base: str, read: ReadBytes, name: str) -> Content:
    try:
        return Content(name, read(base, entry.lies, limits.FILE_BYTES))
    except TooLong:
        return Content(name, None, too_long(Source(name, "")))
    except OSError as error:
        return Content(name, None, unreadable(Problem(name, str(error.strerror))))


def unreadable(problem: Problem) -> Diagnostic:
    """Return the finding for an entry that is named like a policy and cannot be read as one."""
    return Diagnostic(
        "P0027",
        f"`{problem.name}` is named like a policy, but cannot be read",
        Label(Source(problem.name, ""), Span(0, 0)),
        notes=(problem.why,),
        help="correct or remove it; until then nothing is loaded, because it might deny",
    )


def passed_over(misnamed: Misnamed) -> Diagnostic:
    """Return the finding for a file that is not loaded because of its name."""
    return Diagnostic(
        "P0028",
        f"`{misnamed.name}` is ignored, because its name does not end in `.policy`"
        if not misnamed.name.rpartition("/")[2].startswith(".")
        else f"`{misnamed.name}` is ignored, because it is hidden",
        Label(Source(misnamed.name, ""), Span(0, 0)),
        help=f"if it is a policy, rename it to `{misnamed.meant}`; else give it another name",
        severity=Severity.WARNING,
    )


def findings_of(found: Walk, called: Callable[[str], str] = str) -> list[Diagnostic]:
    """Return the findings about entries of a walk that are not read."""
    return [
        *(unreadable(Problem(called(one.name), one.why)) for one in found.problems),
        *(passed_over(Misnamed(called(one.name), one.meant)) for one in found.misnamed),
    ]


def rules_in_tests(contents: Iterable[Content]) -> Iterator[Diagnostic]:
    """Yield a finding for the first rule, or other declaration of a policy, in each test file."""
    for content in contents:
        if content.is_test and content.data is not None:
            finding = misplaced(Source(content.name, content.data.decode(errors="replace")))
            if finding is not None:
                yield finding


def files_of(
    contents: Sequence[Content],
    findings: list[Diagnostic],
    earlier: PolicyFiles | None,
    provenance: Provenance,
    with_tests: bool,
) -> PolicyFiles:
    """Build the state of these contents, with `findings` about their names."""
    known = {} if earlier is None else _sound(earlier)
    texts: list[Read] = []
    tests: list[Read] = []
    digest = hashlib.sha256()
    for content in contents:
        if content.finding is not None:
            findings.append(content.finding)
        elif content.data is not None and not content.is_test:
            _add(digest.update, os.fsencode(content.name), content.data)
            texts.append(_text(content.name, content.data, known.get(content.name)))
        elif content.data is not None and with_tests:
            _add(digest.update, os.fsencode(content.name), content.data)
            tests.append(read_text(content.name, content.data))
    _add(digest.update, str(len(texts)).encode())
    findings += [found for text in (*texts, *tests) for found in text.diagnostics]
    findings += rules_in_tests(contents)
    for finding in findings:
        where = finding.primary.source.name if finding.primary else ""
        _add(digest.update, f"{where}: {finding.headline}: {finding.notes}".encode())
    return PolicyFiles(
        tuple(text.source for text in texts),
        tuple(sorted(findings, key=lambda found: found.sort_key)),
        digest.hexdigest(),
        provenance,
        tuple(test.source for test in tests),
    )


def _sound(files: PolicyFiles) -> dict[str, Source]:
    """Return the sources without findings, by name: their texts are equal to the bytes."""
    unsound = {found.primary.source.name for found in files.diagnostics if found.primary}
    return {source.name: source for source in files.sources if source.name not in unsound}


def _add(update: Callable[[bytes], object], *parts: bytes) -> None:
    for part in parts:
        update(len(part).to_bytes(8, "big"))
        update(part)


def _text(name: str, data: bytes, known: Source | None) -> Read:
    if known is not None and known.text.encode() == data:
        return Read(known, ())
    return read_text(name, data)
