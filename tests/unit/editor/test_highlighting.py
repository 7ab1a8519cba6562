"""The lexer, the TextMate grammar and Vim's syntax: one list of words, the grammar's own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from subprocess import run

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String

from policyd.editor import textmate, vim, words
from policyd.editor.lexer import PolicyLexer
from tests.support.documents import ROOT

GRAMMAR = (ROOT / "policyd/language/grammar.lark").read_text(encoding="utf-8")
SAMPLES = sorted((ROOT / "policies").rglob("*.policy"))
EXTENSION = ROOT / "editors" / "vscode"


def test_the_words_are_those_of_the_grammar() -> None:
    rules = "\n".join(line for line in GRAMMAR.splitlines() if not line.startswith("//"))
    of_grammar = set(re.findall(r'"([a-z]+)"', rules))
    assert of_grammar == {
        *words.SECTIONS, *words.CLAUSES, *words.OPERATORS, *words.CONSTANTS,
    }  # fmt: skip


def lexed(text: str) -> list[tuple[object, str]]:
    lexer = PolicyLexer(stripnl=False, ensurenl=False)
    return [(kind, part) for kind, part in lexer.get_tokens(text) if part.strip()]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_lex_whole_and_without_errors(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tokens = list(PolicyLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(part for _, part in tokens) == text
    assert [part for kind, part in tokens if kind is Error] == []


def test_each_word_is_told_by_what_it_does() -> None:
    assert lexed("scope read:x\nallow any-one: read on y // z\n") == [
        (Keyword.Declaration, "scope"),
        (Name.Label, "read:x"),
        (Keyword.Declaration, "allow"),
        (Name.Attribute, "any-one"),
        (Punctuation, ":"),
        (Name, "read"),
        (Keyword, "on"),
        (Name, "y"),
        (Comment.Single, "// z"),
    ]
    assert lexed(" when scope User.Read and token.scope in [a:b, 15m, true] ") == [
        (Keyword, "when"),
        (Keyword, "scope"),
        (Name.Label, "User.Read"),
        (Operator.Word, "and"),
        (Name.Builtin, "token"),
        (Punctuation, "."),
        (Name.Variable, "scope"),
        (Operator.Word, "in"),
        (Punctuation, "["),
        (Name.Label, "a:b"),
        (Punctuation, ","),
        (Number, "15m"),
        (Punctuation, ","),
        (Keyword.Constant, "true"),
        (Punctuation, "]"),
    ]


def test_a_text_ends_with_its_line() -> None:
    assert lexed('"a\\n\\q\n"b"') == [
        (String, '"'),
        (String, "a"),
        (String.Escape, "\\n"),
        (Error, "\\"),
        (String, "q"),
        (String, '"'),
        (String, "b"),
        (String, '"'),
    ]


@pytest.mark.parametrize("word", sorted({*words.SECTIONS, *words.CLAUSES, *words.OPERATORS}))
def test_every_word_is_highlighted(word: str) -> None:
    ((kind, _),) = lexed(f" {word} ")
    assert kind in (Keyword, Operator.Word)
    name = _textmate(f" {word} ", 1)
    assert name.startswith("keyword")


@pytest.mark.parametrize("word", words.SECTIONS)
def test_a_section_word_within_a_name_is_none(word: str) -> None:
    ((kind, _),) = lexed(f"{word}-list")
    assert kind is Name
    assert _textmate(f"{word}-list", 0).startswith("variable")


def _textmate(line: str, at: int) -> str:
    """Return the name of the first pattern that matches at a place, as an editor would."""
    for pattern in _matches():
        if re.compile(pattern["match"], re.MULTILINE).match(line, at):
            return pattern.get("name", "captures")
    return ""


def _matches() -> Iterator[dict[str, str]]:
    patterns = textmate.grammar()["patterns"]
    assert isinstance(patterns, list)
    return (one for one in patterns if "match" in one)


def test_the_extension_holds_the_grammar_that_is_made() -> None:
    held = (EXTENSION / "syntaxes" / "policy.tmLanguage.json").read_text(encoding="utf-8")
    made = run(
        [sys.executable, "-m", "policyd.editor.textmate"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert held == made.stdout
    assert json.loads(held) == textmate.grammar()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_patterns_leave_nothing_of_a_sample_but_punctuation(path: Path) -> None:
    patterns = [re.compile(one["match"]) for one in _matches()]
    for line in path.read_text(encoding="utf-8").splitlines():
        at = 0
        while at < len(line):
            text = re.compile(r'"(?:[^"\\]|\\.)*"').match(line, at)
            found = text or next((one for each in patterns if (one := each.match(line, at))), None)
            if found is None:
                assert line[at] in " {}()[],:?", line[at:]
            at = found.end() if found is not None else at + 1


def test_the_extension_names_files_that_are_there() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    contributes = package["contributes"]
    named = [
        package["main"],
        contributes["grammars"][0]["path"],
        contributes["languages"][0]["configuration"],
    ]
    assert all((EXTENSION / name).is_file() for name in named)
    json.loads((EXTENSION / "language-configuration.json").read_text(encoding="utf-8"))
    assert contributes["grammars"][0]["scopeName"] == textmate.grammar()["scopeName"]


def test_vims_syntax_file_is_up_to_date() -> None:
    copy = ROOT / "editors" / "vim" / "syntax" / "policy.vim"
    assert copy.read_text(encoding="utf-8") == vim.syntax()


_GROUPS = """
for l in range(1, line("$"))
  let before = ""
  for c in range(1, len(getline(l)))
    let group = synIDattr(synID(l, c, 1), "name")
    if group != before && group != ""
      echo group .. " " .. matchstr(getline(l), '\\\\v%' .. c .. 'c\\\\S+')
    endif
    let before = group
  endfor
endfor
""".replace("\\\\", "\\")


def test_vim_tells_words_by_what_they_do(tmp_path: Path) -> None:
    if which("vim") is None:
        pytest.skip("vim is not installed")
    (tmp_path / "a.policy").write_text(
        'deny x: any on y // z\n    unless scope a:b and token.acr == "//" and subject is user\n'
    )
    (tmp_path / "groups.vim").write_text(_GROUPS)
    command = ["vim", "-u", "NONE", "-N", "-es", "-c", f"set rtp+={ROOT / 'editors' / 'vim'}"]
    command += ["-c", "filetype on | syntax on | edit a.policy | redir! > groups.txt"]
    run([*command, "-c", "source groups.vim | redir END | qa!"], cwd=tmp_path, check=False)
    assert (tmp_path / "groups.txt").read_text().split("\n")[1:] == [
        "policySection deny",
        "policyKey x:",
        "policyClause any",
        "policyClause on",
        "policyName y",
        "policyComment //",
        "policyClause unless",
        "policyScopeWord scope",
        "policyScope a:b",
        "policyOperator and",
        "policyFact token.acr",
        "policyComparison ==",
        'policyString "//"',
        "policyOperator and",
        "policyOperator subject",
        "policyOperator is",
        "policyState user",
    ]
