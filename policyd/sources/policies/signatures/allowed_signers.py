"""Lists of SSH keys that may sign, in the format of ssh-keygen(1), "ALLOWED SIGNERS".

Input: the text of such a file. Output: `Signer`s, and for a key and a time the principal, or the
reason why there is none. One malformed line makes the whole file unusable, because its meaning is
unknown. Lines with `cert-authority` are parsed but match no signature, since certificates are not
verified here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from policyd.sources.policies.signatures.trust import SignatureRefused

_OPTION: Final = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?=,|$)')
_STAMP: Final = re.compile(r"(\d{8})(\d{4}(\d{2})?)?(Z?)")
_FORMATS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


class Signer(msgspec.Struct, frozen=True):
    """One line: the principals' patterns, the key's bytes, and its restrictions.

    Times are seconds since the epoch: valid from `after` on, and until before `before`.
    """

    line: int
    principals: str
    key: bytes
    namespaces: str | None = None
    after: float | None = None
    before: float | None = None
    authority: bool = False


def read_signers(text: str) -> tuple[Signer, ...]:
    """Read a file. Raises `SignatureRefused`, with the line's number."""
    return tuple(_signers(text))


def _signers(text: str) -> Iterator[Signer]:
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            try:
                yield _signer(number, stripped)
            except ValueError as error:
                raise SignatureRefused(
                    f"line {number} of the allowed signers cannot be read: {error}"
                ) from None


def read_keys(text: str) -> frozenset[bytes]:
    """Read a list of public keys, one a line. Raises `SignatureRefused`."""
    if text.startswith("SSHKRL"):
        raise SignatureRefused(
            "the revoked keys are a KRL, which is not read here; write public keys, one a line"
        )
    keys: set[bytes] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                keys.add(_key(words))
            except ValueError as error:
                raise SignatureRefused(
                    f"line {number} of the revoked keys cannot be read: {error}"
                ) from None
    return frozenset(keys)


def principal_of(
    signers: Iterable[Signer], key: bytes, namespace: str, now: float, wanted: str | None
) -> str:
    """Return the principal of a key: `wanted`, or if that is `None` the patterns of the key's line.

    Raises `SignatureRefused`, with the reason of the line that matched best.
    """
    nearest = "its key is not among the allowed signers"
    for signer in signers:
        if signer.key != key:
            continue
        why = _objection(signer, namespace, now, wanted)
        if why is None:
            return signer.principals if wanted is None else wanted
        nearest = f"{why} (line {signer.line} of the allowed signers)"
    raise SignatureRefused(nearest)


def _objection(signer: Signer, namespace: str, now: float, wanted: str | None) -> str | None:
    if signer.authority:
        return "its key may certify others (`cert-authority`), and not sign by itself"
    if signer.namespaces is not None and not matches(namespace, signer.namespaces):
        return f"its key may not sign for the namespace `{namespace}`"
    if signer.after is not None and now < signer.after:
        return "its key is not valid yet (`valid-after`)"
    if signer.before is not None and now >= signer.before:
        return "its key is not valid any more (`valid-before`)"
    if wanted is not None and not matches(wanted, signer.principals):
        return f"its key is not one of the committer `{wanted}`"
    return None


def matches(text: str, patterns: str) -> bool:
    """Tell whether a text matches a list of patterns with `*` and `?`; `!` excludes (ssh_config(5),
    PATTERNS): an excluded text never matches, and a list with only exclusions matches nothing."""
    found = False
    for pattern in patterns.split(","):
        excluded = pattern.startswith("!")
        if _glob(pattern.removeprefix("!")).fullmatch(text):
            if excluded:
                return False
            found = True
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(one, re.escape(one)) for one in pattern), re.DOTALL)


def _signer(number: int, line: str) -> Signer:
    principals, rest = _first(line)
    words = rest.split()
    options: dict[str, str | None] = {}
    if words and not _is_kind(words[0]):
        text, rest = _options(rest)
        options = dict(text)
        words = rest.split()
    return Signer(
        number,
        principals,
        _key(words),
        options.get("namespaces"),
        _time(options.get("valid-after")),
        _time(options.get("valid-before")),
        "cert-authority" in options,
    )


def _first(line: str) -> tuple[str, str]:
    """Return the first word of a line, which may be quoted, and the rest."""
    if line.startswith('"'):
        word, quote, rest = line[1:].partition('"')
        if not quote:
            raise ValueError("a quote is not closed")
        return word, rest.strip()
    word, *others = line.split(maxsplit=1)
    return word, others[0] if others else ""


def _options(text: str) -> tuple[list[tuple[str, str | None]], str]:
    """Return the options at the beginning of a text, and the rest."""
    end, quoted = 0, False
    while end < len(text) and (quoted or not text[end].isspace()):
        quoted ^= text[end] == '"' and text[end - 1] != "\\"
        end += 1
    if quoted:
        raise ValueError("a quote is not closed")
    found: list[tuple[str, str | None]] = []
    at, options = 0, text[:end]
    while at <= len(options):  # past its end, unless a comma ends it
        option = _OPTION.match(options, at)
        if option is None:
            raise ValueError(f"`{options[at:]}` is no option")
        name, value = option[1].lower(), option[2]
        if name not in ("cert-authority", "namespaces", "valid-after", "valid-before"):
            raise ValueError(f"the option `{name}` is unknown")
        if (value is None) != (name == "cert-authority"):
            raise ValueError(f"write `{name}`" + ("" if value is not None else '="…"'))
        if name in dict(found):
            raise ValueError(f"the option `{name}` is given twice")
        found.append((name, value))
        at = option.end() + 1
    return found, text[end:].strip()


def _is_kind(word: str) -> bool:
    return word.startswith(("ssh-", "ecdsa-", "sk-", "rsa-"))


def _key(words: list[str]) -> bytes:
    if len(words) < 2 or not _is_kind(words[0]):
        raise ValueError("there is no public key: write its kind and its bytes in base64")
    try:
        key = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError("the key is no base64") from None
    if kind_of(key) != words[0]:
        raise ValueError(f"the key is not of the kind `{words[0]}`")
    return key


def kind_of(key: bytes) -> str:
    """Return the kind of a key in SSH's encoding (RFC 4253, section 6.6), such as `ssh-ed25519`."""
    length = int.from_bytes(key[:4], "big")
    return key[4 : 4 + length].decode("ascii", "replace") if length <= 64 else ""


def _time(value: str | None) -> float | None:
    """Read `YYYYMMDD[HHMM[SS]]`, in local time, or with `Z` in UTC."""
    if value is None:
        return None
    stamp = _STAMP.fullmatch(value)
    try:
        digits = "" if stamp is None else stamp[1] + (stamp[2] or "")
        moment = datetime.strptime(digits, _FORMATS[len(digits)])  # noqa: DTZ007 - the zone follows
    except (KeyError, ValueError):
        raise ValueError(
            f"`{value}` is no time; write YYYYMMDD or YYYYMMDDHHMMSS, and Z for UTC"
        ) from None
    assert stamp is not None, "it was one"
    return (moment.replace(tzinfo=UTC) if stamp[4] else moment.astimezone()).timestamp()
