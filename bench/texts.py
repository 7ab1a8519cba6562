"""What hostile policy texts of one megabyte cost: CPU seconds and peak memory of `load`.

python -m bench.texts

Those of `TESTS` are tests of a policy, and read by `load_tests`.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial

from policyd.diagnostics import Source
from policyd.language import load, load_tests
from policyd.language.policy import PolicySet

_SIZE = 990_000
_HEAD = (
    'api a\n\naudience "https://a.example"\n\nscope x "X"\n\nresource r {\n    actions read\n}\n'
)
TEXTS: dict[str, Callable[[], str]] = {
    "open parentheses": lambda: "api a\ndefine x as " + "(" * _SIZE,
    "words": lambda: "api a\n" + "a " * (_SIZE // 2),
    "lines": lambda: "api a\n" + "a\n" * (_SIZE // 2),
    "characters without meaning": lambda: "api a\n" + "€" * (_SIZE // 3),
    "quotes": lambda: "api a\n" + '"' * _SIZE,
    "open texts": lambda: "api a\n" + '"a\n' * (_SIZE // 3),
    "slashes": lambda: "api a\n" + "/" * _SIZE,
    "glued words": lambda: "a/" * (_SIZE // 2),
    "colons": lambda: "api a\n" + "a:" * (_SIZE // 2),
    "dots": lambda: "api a\n" + "a." * (_SIZE // 2),
    "digits": lambda: "api a\ndefine x as token.a == " + "1" * _SIZE,
    "escapes": lambda: 'api a\ndefine x as token.a == "' + "\\q" * (_SIZE // 2) + '"',
    "negations": lambda: "api a\ndefine x as " + "not " * (_SIZE // 4) + "scope x",
    "conjuncts": lambda: _HEAD + "define y as " + " and ".join(["scope x"] * (_SIZE // 12)),
    "a list": lambda: _HEAD + "define y as token.sub in [" + '"x",' * (_SIZE // 4) + '"y"]',
    "a chain of conditions": lambda: (
        _HEAD + "".join(f"define c{n} as c{n + 1}\n" for n in range(_SIZE // 24))
    ),
    "rules": lambda: (
        _HEAD + "".join(f"allow c{n}: read on r when scope x\n" for n in range(_SIZE // 38))
    ),
    "rules with two mistakes each": lambda: (
        _HEAD + "".join(f"allow c{n}: red on r when scope y\n" for n in range(_SIZE // 38))
    ),
    "rules on any of many resources": lambda: (
        _HEAD
        + "".join(f"resource s{n} {{ actions a }}\n" for n in range(_SIZE // 60))
        + "".join(f"deny c{n}: any on any\n" for n in range(_SIZE // 48))
    ),
    "a long condition on any of many resources": lambda: (
        _HEAD.replace("    actions read", "    x: int\n    actions read")
        + "".join(
            f"resource s{n} {{ x: {('int', 'time')[n % 2]}\n actions a }}\n"
            for n in range(_SIZE // 80)
        )
        + "deny c: a on any when "
        + " or ".join(["resource.x is missing"] * 900)
        + "\n"
    ),
    "lists of many fields": lambda: (
        _HEAD
        + "".join(
            f"claim c{n}: list? {{\n" + "".join(f"    f{m}: int?\n" for m in range(1000)) + "}\n"
            for n in range(_SIZE // 18_000)
        )
    ),
    "quantifiers": lambda: (
        _HEAD
        + "claim c: list? {\n    f: int?\n}\n"
        + "".join(
            f"allow c{n}: read on r when token.c has some (item.f == {n})\n"
            for n in range(_SIZE // 70)
        )
    ),
    "a vocabulary of 10,000 values": lambda: (
        _HEAD
        + "values v: "
        + ", ".join(f'"{n}"' for n in range(10_000))
        + "\nclaim c: v?\n"
        + "".join(f'allow c{n}: read on r when token.c == "x{n}"\n' for n in range(_SIZE // 60))
    ),
    "vocabularies": lambda: (
        _HEAD + "".join(f'values v{n}: "a"\nclaim c{n}: v{n}?\n' for n in range(_SIZE // 44))
    ),
    "a circle of scopes": lambda: (
        _HEAD + "".join(f'scope s{n} "S" includes s{(n + 1) % 20_000}\n' for n in range(20_000))
    ),
    "a chain of 10,000 scopes": lambda: (
        _HEAD
        + "".join(f'scope s{n} "S" includes s{n + 1}\n' for n in range(10_000))
        + 'scope s10000 "S"\n'
    ),
    "a scope that includes 10,000": lambda: (
        _HEAD
        + "".join(f'scope s{n} "S"\n' for n in range(10_000))
        + 'scope all "All" includes '
        + ", ".join(f"s{n}" for n in range(10_000))
        + "\n"
    ),
    "scopes that include each all that follow": lambda: (
        _HEAD
        + "".join(
            f'scope s{n} "S" includes ' + ", ".join(f"s{m}" for m in range(n + 1, 400)) + "\n"
            for n in range(399)
        )
        + 'scope s399 "S"\n'
    ),
    "attributes for each of many actions": lambda: (
        'api a\n\naudience "https://a.example"\n\nresource r {\n    actions '
        + ", ".join(f"a{n}" for n in range(2_000))
        + "\n"
        + "".join(
            f"    x{m}: int (for " + " ".join(f"a{n}" for n in range(2_000)) + ")\n"
            for m in range(20)
        )
        + "}\n"
        + "".join(f"allow c{n}: a{n} on r when resource.x0 == {n}\n" for n in range(2_000))
    ),
    "names in quotes": lambda: (
        _HEAD.replace("read", ", ".join(f'"x/{n}"' for n in range(20_000)))
        + "".join(f'allow c{n}: "x/{n}" on r when true\n' for n in range(18_000))
    ),
    "decimals": lambda: (
        _HEAD.replace("    actions", "    x: decimal\n    actions")
        + "define y as "
        + " or ".join(f"resource.x == {n}.{n:04}" for n in range(900))
        + "\ndefine z as resource.x == 1."
        + "1" * (_SIZE // 2)
        + "\n"
    ),
    "claims of many issuers": lambda: (
        _HEAD
        + "".join(
            f'claim c{n}: string? from "/c/{n}" of "https://i{n}.example/"\n'
            for n in range(_SIZE // 68)
        )
    ),
    "pointers of many steps": lambda: (
        _HEAD
        + "".join(f'claim c{n}: int? from "/{"a/" * 2_000}{n}"\n' for n in range(_SIZE // 4_030))
    ),
    "times that are soon": lambda: (
        _HEAD
        + "".join(
            f"allow c{n}: read on r when token.expires_at within next {n + 1}d\n"
            for n in range(_SIZE // 66)
        )
    ),
    "one quantifier over a long condition": lambda: (
        _HEAD
        + "claim c: list? {\n    f: int?\n}\nallow c: read on r when token.c has some ("
        + " or ".join(f"item.f == {n}" for n in range(1_000))
        + ")\n"
    ),
    "one scope again and again": lambda: _HEAD + 'scope x "X"\n' * (_SIZE // 12),
    "lists within lists": lambda: _HEAD + "claim c: list? {\n" + "    f: list? {\n" * (_SIZE // 20),
    "quantifiers within quantifiers": lambda: (
        _HEAD
        + "claim c: list? {\n    f: int?\n}\ndefine y as "
        + "token.c has some (" * (_SIZE // 40)
        + "item.f == 1"
        + ")" * (_SIZE // 40)
        + "\n"
    ),
    "many quantifiers within another": lambda: (
        _HEAD
        + "claim c: list? {\n    f: int?\n}\n"
        + "".join(
            f"define y{n} as token.c has some (token.c has some (item.f == {n}))\n"
            for n in range(_SIZE // 70)
        )
    ),
    "a circle of scopes beside many": lambda: (
        _HEAD
        + "".join(f'scope s{n} "S" includes t{n}\n' for n in range(10_000))
        + "".join(f'scope t{n} "S" includes s{n}\n' for n in range(10_000))
    ),
    "10,000 scopes that include ten each": lambda: (
        _HEAD
        + "".join(
            f'scope s{n} "S"'
            + (" includes " + ", ".join(f"s{n // 10 - m}" for m in range(10)) if n > 200 else "")
            + "\n"
            for n in range(10_000)
        )
    ),
    "vocabularies of 10,000 values": lambda: (
        _HEAD
        + "".join(
            f"values v{n}: " + ", ".join(f'"{m}"' for m in range(10_000)) + f"\nclaim c{n}: v{n}?\n"
            for n in range(11)
        )
        + "".join(f"allow c{n}: read on r when token.c{n} == token.c{n + 1}\n" for n in range(10))
    ),
}
_LISTS = (
    _HEAD
    + "claim c: list? {\n    f: int?\n}\nallow c: read on r when token.c has some (item.f == 1)\n"
)
_TOKEN = 'api a\n\ntest "t" {\n    token { c: '
TESTS: dict[str, Callable[[], str]] = {
    "tests: lists within lists": lambda: _TOKEN + "[" * _SIZE,
    "tests: objects within objects": lambda: _TOKEN + "[" + "{a:" * (_SIZE // 3),
    "tests: closed lists within lists": lambda: (
        _TOKEN + "[{ f: " + "[" * 20_000 + "]" * 20_000 + " }] }\n    allow read on r\n}\n"
    ),
    "tests: a list of many elements": lambda: (
        _TOKEN + "[" + "{ f: 1 }, " * 8_000 + "] }\n    allow read on r\n}\n"
    ),
    "tests: many lists of 65 elements": lambda: (
        _TOKEN
        + "[] }\n    allow read on r\n}\n"
        + "".join(
            f'test "t{n}" {{\n    token {{ c: ['
            + "{ f: 2 }, " * 65
            + "] }\n    deny read on r\n}\n"
            for n in range(500)
        )
    ),
}


def main() -> None:
    """Print a line a text. Each is loaded in a process of its own."""
    print(f"{'text':46}{'seconds':>9}{'MB':>6}  findings")
    for name in (*TEXTS, *TESTS):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, found = pool.apply(measure, (name,))
        print(f"{name:46}{seconds:9.2f}{peak:6}  {found}")


def measure(name: str) -> tuple[float, int, int]:
    """Return CPU seconds, peak resident megabytes, and the number of findings."""
    if name in TEXTS:
        read, source = _findings, Source("a.policy", TEXTS[name]())
    else:
        policies = load([Source("a.policy", _LISTS)]).policies
        assert policies is not None, "the policy that is tested loads"
        read = partial(_test_findings, policies)
        source = Source("a_test.policy", TESTS[name]())
    began = time.process_time()
    found = read(source)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return seconds, peak, found


def _findings(source: Source) -> int:
    return len(load([source]).diagnostics)


def _test_findings(policies: PolicySet, source: Source) -> int:
    return len(load_tests([source], policies).diagnostics)


if __name__ == "__main__":
    main()
