"""Generates docs/grammar.ebnf and docs/railroad/ from the grammar; with `--check`, compares.

What comes in is policyd/language/grammar.lark, read by the grammar of grammars that Lark ships.
What goes out is the same language in the notation of the XML recommendation (section 6), and one
diagram a rule. Left out is what the parser reads only to refuse it with a better message.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import railroad
from lark import Lark, Token, Tree

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = ROOT / "policyd" / "language" / "grammar.lark"
EBNF = ROOT / "docs" / "grammar.ebnf"
DIAGRAMS = ROOT / "docs" / "railroad"
WIDTH = 96

#: Read to be refused: slips, and what no declaration can hold.
REFUSED = {"unparsed", "type_glued", "rule_glued", "pair_glued"}
#: The rules that a file is made of. The parser reads each declaration by itself.
FILE = "file ::= head declaration*"

HEADER = """\
/* The grammar of policyd's policy language. Generated from policyd/language/grammar.lark.

   The notation is that of the XML recommendation, section 6: `?`, `*` and `+` follow what they
   repeat, `|` separates alternatives, and quotes hold what is written so. The tokens at the end are
   regular expressions between slashes.

   A file is UTF-8. A declaration begins in the first column, and each further line of it is
   indented. Between tokens there may be spaces, tabs, line ends, and comments from `//` to the end
   of the line; a comment that begins with `///` is documentation, the token DOC.

   A token is read by the first pattern that fits, in the order in which they stand here. A NAME
   that is spelt like a word in quotes is that word. A NAME with a `/` right behind it is an error.

   The grammar takes a little more than the language: docs/reference.md says what else must hold. */
"""

STYLE = """\
svg.railroad-diagram { background-color: #ffffff; }
svg.railroad-diagram path { stroke-width: 2; stroke: #57606a; fill: none; }
svg.railroad-diagram text { font: 14px monospace; text-anchor: middle; fill: #1f2328; }
svg.railroad-diagram rect { stroke-width: 1.5; stroke: #57606a; fill: #f6f8fa; }
svg.railroad-diagram .terminal rect { fill: #ddf4ff; stroke: #0969da; }
@media (prefers-color-scheme: dark) {
  svg.railroad-diagram { background-color: #0d1117; }
  svg.railroad-diagram path { stroke: #8b949e; }
  svg.railroad-diagram text { fill: #e6edf3; }
  svg.railroad-diagram rect { stroke: #8b949e; fill: #161b22; }
  svg.railroad-diagram .terminal rect { fill: #0c2d6b; stroke: #58a6ff; }
}
"""


# -- what a rule is made of ----------------------------------------------------------------------


class Word(msgspec.Struct, frozen=True):
    """Text that is written as it stands."""

    text: str


class Name(msgspec.Struct, frozen=True):
    """A rule or a token, by its name."""

    name: str


class Sequence(msgspec.Struct, frozen=True):
    """One after the other."""

    parts: tuple[Part, ...]


class Choice(msgspec.Struct, frozen=True):
    """One of them."""

    parts: tuple[Part, ...]


class Repeat(msgspec.Struct, frozen=True):
    """`?` at most once, `*` any number of times, `+` at least once."""

    part: Part
    times: str


Part = Word | Name | Sequence | Choice | Repeat


class Grammar(msgspec.Struct, frozen=True):
    """Rules and tokens in the order of their reading; tokens are regular expressions."""

    rules: dict[str, Part]
    tokens: dict[str, str]


# -- reading -------------------------------------------------------------------------------------


def read(text: str) -> Grammar:
    """Read a Lark grammar, without what is read to be refused."""
    parser = Lark.open_from_package(
        "lark", "lark.lark", ["grammars"], parser="lalr", maybe_placeholders=False
    )
    definitions = [node for node in parser.parse(text).children if isinstance(node, Tree)]
    words: dict[str, Part] = {}
    tokens: list[tuple[int, str, str]] = []
    for node in definitions:
        if node.data == "token":
            name, priority, value = _token(node)
            if value.startswith('"'):
                words[name] = Word(value[1:-1])
            else:
                tokens.append((-priority, name, value[1:-1]))
    rules: dict[str, Part] = {}
    for node in definitions:
        if node.data == "rule":
            name = str(node.children[0]).lstrip("!?")
            part = _part(node.children[-1], words)
            if name not in REFUSED and part is not None:
                rules[name] = part
    published = _renamed(rules)
    used = {name for part in published.values() for name in _names(part)}
    ordered = {name: value for _, name, value in sorted(tokens) if name in used}
    return Grammar(published, ordered)


def _token(node: Tree[Token]) -> tuple[str, int, str]:
    name, _, *priority, value = node.children
    level = int(_only(priority[0])) if priority else 0
    return str(name), level, str(_only(value))


def _only(node: Tree[Token] | Token) -> Token:
    while isinstance(node, Tree):
        (node,) = node.children
    return node


def _part(node: Tree[Token] | Token, words: dict[str, Part]) -> Part | None:
    """Return what a node says, or `None` where it is refused."""
    assert isinstance(node, Tree)
    match node.data:
        case "expansions":
            parts = [_part(child, words) for child in node.children]
            kept = tuple(part for part in parts if part is not None)
            return Choice(kept) if len(kept) > 1 else (kept[0] if kept else None)
        case "alias":
            expansion, *alias = node.children
            return None if str(*alias) in REFUSED else _part(expansion, words)
        case "expansion":
            members = [_part(child, words) for child in node.children]
            known = tuple(member for member in members if member is not None)
            if len(known) < len(members):
                return None
            return Sequence(known) if len(known) > 1 else known[0]
        case "expr":
            repeated, *times = node.children
            inner = _part(repeated, words)
            return Repeat(inner, str(*times)) if times and inner is not None else inner
        case "name":
            name = str(_only(node))
            return None if name in REFUSED else words.get(name, Name(name))
        case "literal":
            return Word(str(_only(node))[1:-1])
        case "value":
            return _part(node.children[0], words)
    raise ValueError(f"the grammar uses what is not understood here: {node.data}")


def _renamed(rules: dict[str, Part]) -> dict[str, Part]:
    """Take the underscores off the names; where that gives another rule's name, put it in place."""
    names = {name: name.lstrip("_") for name in rules}
    inlined = {name for name, public in names.items() if name != public and public in rules}

    def rename(part: Part) -> Part:
        match part:
            case Name(name) if name in inlined:
                return rename(rules[name])
            case Name(name):
                return Name(names.get(name, name))
            case Sequence(parts):
                return Sequence(tuple(rename(each) for each in parts))
            case Choice(parts):
                return Choice(tuple(rename(each) for each in parts))
            case Repeat(inner, times):
                return Repeat(rename(inner), times)
        return part

    return {names[name]: rename(part) for name, part in rules.items() if name not in inlined}


def _names(part: Part) -> Iterable[str]:
    match part:
        case Name(name):
            yield name
        case Sequence(parts) | Choice(parts):
            for each in parts:
                yield from _names(each)
        case Repeat(inner):
            yield from _names(inner)


# -- writing -------------------------------------------------------------------------------------


def ebnf(grammar: Grammar) -> str:
    """Return the grammar as a text."""
    lines = [HEADER, FILE]
    for name, part in grammar.rules.items():
        line = f"{name} ::= {_text(part)}"
        if len(line) > WIDTH and isinstance(part, Choice):
            indent = "\n" + " " * (len(name) + 3) + "| "
            line = f"{name} ::= " + indent.join(_text(each) for each in part.parts)
        lines.append(line)
    lines += ["", *(f"{name} ::= /{pattern}/" for name, pattern in grammar.tokens.items())]
    return "\n".join(lines) + "\n"


def _text(part: Part) -> str:
    match part:
        case Word(text):
            return f'"{text}"'
        case Name(name):
            return name
        case Sequence(parts):
            text = " ".join(
                f"({_text(each)})" if isinstance(each, Choice) else _text(each) for each in parts
            )
        case Choice(parts):
            text = " | ".join(_text(each) for each in parts)
        case Repeat(inner, times):
            return _text(inner) + times if _is_single(inner) else f"({_text(inner)}){times}"
    return text


def _is_single(part: Part) -> bool:
    return isinstance(part, Word | Name)


def diagrams(grammar: Grammar) -> dict[str, str]:
    """Return each rule's diagram, an SVG, by the name of its file."""
    return {f"{name}.svg": _diagram(part) for name, part in grammar.rules.items()}


def _diagram(part: Part) -> str:
    drawn: list[str] = []
    items = part.parts if isinstance(part, Sequence) else (part,)
    railroad.Diagram(*_track(items)).writeStandalone(drawn.append, STYLE)
    return "".join(drawn) + "\n"


def _track(parts: tuple[Part, ...]) -> list[railroad.Node]:
    """Draw parts in a row; `x (sep x)*` becomes a loop with the separator on its way back."""
    items: list[railroad.Node] = []
    for part in parts:
        match part:
            case Repeat(Sequence((*between, again)), "*") if (
                items and parts[parts.index(part) - 1] == again
            ):
                back = _track(tuple(reversed(between)))
                items[-1] = railroad.OneOrMore(items[-1], railroad.Sequence(*back))
            case _:
                items.append(_item(part))
    return items


def _item(part: Part) -> railroad.Node:
    match part:
        case Word(text):
            return railroad.Terminal(text)
        case Name(name):
            return railroad.NonTerminal(name)
        case Sequence(parts):
            return railroad.Sequence(*_track(parts))
        case Choice(parts):
            return railroad.Choice(0, *(_item(each) for each in parts))
        case Repeat(inner, times):
            wrap: dict[str, Callable[[railroad.Node], railroad.Node]] = {
                "?": railroad.Optional,
                "*": railroad.ZeroOrMore,
                "+": railroad.OneOrMore,
            }
            return wrap[times](_item(inner))


def generated() -> dict[Path, str]:
    """Return what the files have to hold."""
    grammar = read(GRAMMAR.read_text(encoding="utf-8"))
    drawn = {DIAGRAMS / name: text for name, text in diagrams(grammar).items()}
    return {EBNF: ebnf(grammar), **drawn}


def stale() -> list[str]:
    """Return the files that are not as the grammar says, are missing, or are left over."""
    files = generated()
    wrong = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    left_over = [path for path in DIAGRAMS.glob("*") if path not in files]
    return sorted(str(path.relative_to(ROOT)) for path in [*wrong, *left_over])


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        problems = stale()
        for name in problems:
            print(
                f"{name} is not what the grammar says: run {Path(__file__).name}", file=sys.stderr
            )
        return 1 if problems else 0
    files = generated()
    DIAGRAMS.mkdir(exist_ok=True)
    for path in set(DIAGRAMS.glob("*")) - files.keys():
        path.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
