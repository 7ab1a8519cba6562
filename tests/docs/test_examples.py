"""Every fenced example in the documents does what the document says.

A block without a kind that is known here fails, so that no example escapes.

- `policy`: loads without a finding, and is laid out as the formatter would.
- `policy part`: the same, as one more file of the document's first policy.
- `policy test`: loads for the document's policy of the same API, and every expectation holds.
- `toml`: a configuration that the daemon accepts.
- `toml part`: the same, with policies and an issuer where it has none.
- `json`: an object.
- `console`: each `$ ` line is run in a copy of the sample policies; what follows is what it
  prints. Of `make` it is only asked whether it has the target.
- `python`: run by `test_calls`, against a daemon.
- `python service`: a service with a guard; run by `tests/server/test_frameworks.py`.
- `python check`: run by `test_cookbook`, against a policy.
- `go`, `typescript`, `java`, `rust`: an example of that client, as it is in `clients/`.
- `console go` and so on: run by `make interop`, with what they print.
- `text`: for people.

The commands of the tutorial, of the pages of issuers, and of README build on each other:
`test_tutorial`, `test_issuer_pages` and `test_readme`
run them, in order.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from policyd.config.configuration import load_configuration
from policyd.diagnostics import Source
from policyd.language import load, load_tests
from policyd.language.formatter import format_source
from policyd.language.policy import PolicySet
from policyd.tooling.runner import run_tests
from scripts.interop import TOOLCHAINS
from tests.support.commands import matches, printed_by, sessions
from tests.support.documents import FOLLOWED, ROOT, Fence, documents, fences, links

FENCES = [
    fence for document in documents() if document.name not in FOLLOWED for fence in fences(document)
]
#: Where a client's example is, by the language of its block.
EXAMPLES = {
    "go": "go/example/main.go",
    "typescript": "typescript/examples/ask.ts",
    "java": "java/examples/Ask.java",
    "rust": "rust/examples/ask.rs",
}
KINDS = {
    "policy",
    "policy part",
    "policy test",
    "toml",
    "toml part",
    "json",
    "console",
    "console background",
    "console envoy",
    "console http",
    "python",
    "python service",
    "python check",
    "text",
    *EXAMPLES,
    *(f"console {name}" for name in TOOLCHAINS),
}


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    found = [
        fence
        for fence in FENCES
        if fence.kind in kinds and (fence.document.name != "README.md" or "console" not in kinds)
    ]
    return pytest.mark.parametrize("fence", found, ids=str)


def api_of(fence: Fence) -> str:
    """Return the line with a block's API; a part belongs to the policy that stands before it."""
    policies = [
        other
        for other in fences(fence.document)
        if other.kind == "policy" and other.line <= fence.line
    ]
    text = policies[-1].text if fence.kind == "policy part" else fence.text
    return next(line for line in text.splitlines() if line.startswith("api "))


def as_file(fence: Fence) -> Source:
    """Return a block as a file; a part is shown without its first line."""
    suffix = "_test.policy" if fence.kind == "policy test" else ".policy"
    head = f"{api_of(fence)}\n\n" if fence.kind == "policy part" else ""
    return Source(f"{fence.line}{suffix}", head + fence.text)


def load_policy(fence: Fence) -> PolicySet:
    """Load the whole policy that a block belongs to."""
    blocks = [other for other in fences(fence.document) if other.kind in ("policy", "policy part")]
    loaded = load([as_file(block) for block in blocks if api_of(block) == api_of(fence)])
    assert loaded.policies is not None, loaded.diagnostics
    assert loaded.diagnostics == ()
    return loaded.policies


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_is_of_a_kind_that_is_checked(fence: Fence) -> None:
    assert fence.kind in KINDS


@of_kind("policy", "policy part")
def test_policy_loads(fence: Fence) -> None:
    load_policy(fence)


@of_kind("policy", "policy part", "policy test")
def test_policy_is_formatted(fence: Fence) -> None:
    file = as_file(fence)
    assert format_source(file).text == file.text


@of_kind("policy test")
def test_tests_hold(fence: Fence) -> None:
    policies = load_policy(fence)
    tests = load_tests([as_file(fence)], policies)
    assert tests.diagnostics == ()
    run = run_tests(policies, tests.tests)
    assert run.failed == ()
    assert run.results


@of_kind("json")
def test_json_is_json(fence: Fence) -> None:
    assert isinstance(json.loads(fence.text), dict)


@of_kind(*EXAMPLES)
def test_an_example_is_the_one_that_is_run(fence: Fence) -> None:
    assert fence.text == (ROOT / "clients" / EXAMPLES[fence.kind]).read_text(encoding="utf-8")


#: What a part of a configuration is shown without.
REST = {
    "[policies]": '[policies]\npath = "policies"\n',
    "[[issuers]]": '[[issuers]]\nissuer = "https://my-domain.auth0.com/"\ndialect = "auth0"\n',
}


@of_kind("toml", "toml part")
def test_configuration_is_accepted(
    fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith("POLICYD_"):
            monkeypatch.delenv(name)
    for name in ("cert.pem", "key.pem", "ca.pem", "issuer-ca.pem"):
        path = tmp_path / "tls" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    nonce = tmp_path / "secrets" / "nonce"
    nonce.parent.mkdir()
    nonce.write_bytes(b"x" * 32)
    rest = [text for head, text in REST.items() if head not in fence.text]
    path = tmp_path / "policyd.toml"
    path.write_text(
        "\n".join([fence.text, *(rest if fence.kind == "toml part" else [])]), encoding="utf-8"
    )
    load_configuration(path)


@of_kind("console")
def test_commands_print_what_is_shown(fence: Fence, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    for command, shown in sessions(fence.text):
        if command.startswith("make "):
            subprocess.run(
                ["make", "--dry-run", *command.split()[1:]],
                cwd=ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            continue
        assert matches(shown, printed_by(command, tmp_path)), command


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    broken = [
        target
        for target in links(document)
        if "://" not in target and not (document.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []
