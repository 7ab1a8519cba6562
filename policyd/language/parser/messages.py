"""What to say about text that does not parse."""

from __future__ import annotations

from collections.abc import Iterable

from lark import Token, Tree

from policyd.diagnostics import Diagnostic, Edit, Label, Severity, Source, Span, closest
from policyd.diagnostics.visibility import twin
from policyd.language import limits
from policyd.language.parser.tokens import (
    KEY_WORDS,
    NAME_WORDS,
    SECTIONS,
    UNPARSED,
    Piece,
    span_of,
)

ParseTree = Tree[Token]

_FRIENDLY = {
    "STRING": "a text in quotes",
    "NUMERIC": "a number",
    "SCOPED": "a scope",
    "DOTTED": "a reference such as `token.sub`",
    "NAME": "a name",
    "OPTIONAL": "`?`", "DOC": "documentation",
    "$END": "the end of the declaration",
    "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`",
    "COMMA": "`,`", "COLON": "`:`",
    "EQ": "`==`", "NE": "`!=`", "LE": "`<=`", "GE": "`>=`", "LT": "`<`", "GT": "`>`",
}  # fmt: skip
_COMPARISONS = {"EQ", "NE", "LE", "GE", "LT", "GT", "IN", "HAS", "STARTS", "ENDS", "WITHIN"}
_CONNECTIVES = {"AND", "OR", "NOT"}
_INSTEAD = {
    "=": "==", "&": "and", "&&": "and", "|": "or", "||": "or", "!": "not", "'": '"', "#": "//",
    ";": "", "===": "==", "/*": "//",
}  # fmt: skip
#: Words and signs of other languages, and what is written here.
_SECTION_INSTEAD = {
    "permit": "allow", "grant": "allow", "forbid": "deny", "block": "deny", "reject": "deny",
    "condition": "define", "type": "resource", "entity": "resource",
}  # fmt: skip
_CLAUSE_INSTEAD = {"if": "when", "where": "when", "except": "unless"}
_STAR = "list the actions by name; in a `deny`, `any` means all of them"


def unexpected(
    source: Source, piece: Piece, token: Token | None, previous: Token | None, accepts: set[str]
) -> Diagnostic:
    """A token, or the end, that fits nowhere: `accepts` are the terminals that would have."""
    expected = _expected(accepts)
    if previous is not None and previous.type in ("TRUE", "FALSE") and _is_operand(accepts):
        return Diagnostic(
            "P0019",
            f"the constant `{previous}` is not a condition",
            Label(source, span_of(previous)),
            help="remove it; only `when true`, alone, is allowed",
        )
    if token is None:
        assert previous is not None  # an empty piece has no end to be surprised by
        return Diagnostic(
            "P0026",
            f"the `{piece.first}` declaration ends too early",
            Label(source, Span(*span_of(previous)), f"expected {expected} after this"),
            help=_help_for_end(accepts),
        )
    if token in SECTIONS and _begins_line(source, token) and token.column != 1:
        return Diagnostic(
            "P0011",
            f"`{token}` does not fit here",
            Label(source, span_of(token), f"expected {expected}"),
            help=f"to begin a declaration, write `{token}` in the first column"
            + ("; to go on with the condition, join with `and`" if "AND" in accepts else ""),
        )
    return Diagnostic(
        "P0008",
        f"unexpected `{_shown(token)}`",
        Label(source, span_of(token), f"expected {expected}"),
        help=_help_for(token, previous, accepts),
        fix=_fix_for(token, accepts),
    )


def _is_operand(accepts: set[str]) -> bool:
    """Whether only an operator could follow, so that what stands before it is no condition."""
    return accepts >= _COMPARISONS and "UNLESS" not in accepts


def _expected(accepts: set[str]) -> str:
    shown = set(accepts)
    if "NAME" in shown:  # naming all the words that may stand for a name would say nothing
        shown -= NAME_WORDS | KEY_WORDS | {"DOC"}
    if shown >= _COMPARISONS:
        shown -= _COMPARISONS
        operator = ["an operator"]
    else:
        operator = []
    if {"LPAR", "NOT", "DOTTED"} <= shown:
        return "a condition"
    if {"NUMERIC", "STRING", "DOTTED"} <= shown:
        return "a value"
    if {"SCOPED", "STRING", "DOTTED"} <= shown:
        return "a scope"
    if "NAME" in shown:
        shown.discard("SCOPED")
    words = sorted(_FRIENDLY.get(name, f"`{name.lower()}`") for name in shown) + operator
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " or " + words[-1]


def _help_for_end(accepts: set[str]) -> str | None:
    if "RBRACE" in accepts:
        return "close the block with `}`; what is in it is indented"
    if "WHEN" in accepts or "AND" in accepts:
        return None
    return "what continues a declaration is indented"


def _fix_for(token: Token, accepts: set[str]) -> tuple[Edit, ...]:
    """Return the edit that makes a token what was meant, where that is certain."""
    span = span_of(token)
    clause = _CLAUSE_INSTEAD.get(str(token), "")
    if clause.upper() in accepts:
        return (Edit(span, clause),)
    if token.type == "SCOPED" and "SCOPE" in accepts and "DOTTED" in accepts:
        return (Edit(Span(span.start, span.start), "scope "),)
    return ()


def _help_for(token: Token, previous: Token | None, accepts: set[str]) -> str | None:
    text = str(token)
    if token.type in ("TRUE", "FALSE") and "DOTTED" in accepts:
        return "`true` can stand alone after `when`, nowhere else"
    if token.type in ("AND", "OR") and previous is not None and previous.type == "TRUE":
        return "`true` stands alone after `when`; remove it"
    if accepts & _COMPARISONS and text in ("contains", "includes", "matches"):
        return '`set has any […]`, `value in set`, `text starts with "…"`'
    if previous is not None and previous.type == "IS":
        return "`is` takes `present` or `missing`; compare with `==`"
    if "NAME" in accepts and token.type == text.upper() and token.type not in _CONNECTIVES:
        return f"`{text}` is a word of the language; choose another name"
    clause = _CLAUSE_INSTEAD.get(text, "")
    if clause.upper() in accepts:
        return f"write `{clause}`"
    if token.type == "SCOPED" and "SCOPE" in accepts and "DOTTED" in accepts:
        return f"write `scope {text}`"
    if previous is not None and previous.type == "SCOPE" and token.type in _COMPARISONS:
        return "write `scope NAME`: the condition is that the token was granted it"
    if accepts == {"FOR", "FROM"} and previous is not None and previous.type == "COMMA":
        return "names after `for` stand without commas: `(for cancel refund)`"
    if accepts == {"COLON"} and previous == "from" and token.type == "STRING":
        return f"where an attribute stands is said in parentheses: `(from {text})`"
    if token.type == "LSQB" and "LT" in accepts:
        return f"a set is written `set<{previous}>`"
    words = [name.lower() for name in accepts if name.isalpha() and name not in _FRIENDLY]
    near = closest(text, words) if token.type == "NAME" else None
    if near is not None and text != near:
        return f"did you mean `{near}`?"
    return None


def unparsed(source: Source, tokens: Iterable[Token]) -> list[Diagnostic]:
    """Characters that no declaration can hold; neighbours are reported together."""
    found: list[Diagnostic] = []
    run: list[Token] = []
    for token in [*tokens, None]:
        if token is not None and token.type == "ILLEGAL":
            if run and span_of(run[-1]).end != span_of(token).start:
                found.append(_illegal(source, run))
                run = []
            run.append(token)
            continue
        if run:
            found.append(_illegal(source, run))
            run = []
        if token is not None and token.type in UNPARSED:
            found.append(_GLUED_OR_OPEN[token.type](source, token))
    return found


def _illegal(source: Source, run: list[Token]) -> Diagnostic:
    text = "".join(run)
    span = Span(span_of(run[0]).start, span_of(run[-1]).end)
    ascii_ = twin(text)  # signs that look like ASCII's are taken for these
    instead = _INSTEAD.get(ascii_, ascii_ if ascii_ != text and ascii_.isascii() else None)
    shown = text if len(text) <= 20 else text[:20] + "…"
    if instead is None:
        help = "names are ASCII letters, digits, `_` and `-`; texts stand in quotes"
        help_ = help if text.isalpha() else _STAR if text == "*" else None
        return Diagnostic("P0004", f"unexpected `{shown}`", Label(source, span), help=help_)
    if not instead:
        help = "remove it: a declaration ends where the next begins"
        fix = (Edit(span, ""),)
        return Diagnostic("P0004", f"unexpected `{shown}`", Label(source, span), help=help, fix=fix)
    return Diagnostic(
        "P0004",
        f"unexpected `{shown}`",
        Label(source, span),
        help=f"write `{instead}`",
        fix=_in_place(source, span, instead),
    )


def _in_place(source: Source, span: Span, instead: str) -> tuple[Edit, ...]:
    """Return the edit to another spelling; a word keeps its distance from its neighbours."""
    if instead == "//" and source.text[slice(*span)] != "#":
        return ()  # the end of such a comment is somewhere else
    if instead.isalpha():
        before, after = source.text[: span.start][-1:], source.text[span.end :][:1]
        instead = f"{'' if before.isspace() else ' '}{instead}{'' if after.isspace() else ' '}"
    return (Edit(span, instead),)


def _glued(source: Source, token: Token) -> Diagnostic:
    text = str(token)
    if "//" in text:
        at = span_of(token).start + text.index("//")
        return Diagnostic(
            "P0016",
            "a comment touches a name",
            Label(source, Span(at, at + 2)),
            help="put a space before `//`",
            fix=(Edit(Span(at, at), " "),),
        )
    return Diagnostic(
        "P0016",
        f"unexpected `/` in `{text if len(text) <= 60 else text[:60] + '…'}`",
        Label(source, span_of(token)),
        help=f'put a scope with a slash in quotes: `scope "{text}"`' if len(text) <= 60 else None,
    )


def _unterminated(source: Source, token: Token) -> Diagnostic:
    start = span_of(token).start
    return Diagnostic(
        "P0005",
        "a text has no closing quote",
        Label(source, Span(start, start + 1), "opened here"),
        help='close it with `"` on the same line; a line break in it is written `\\n`',
    )


_GLUED_OR_OPEN = {"GLUED": _glued, "UNTERMINATED": _unterminated}


def unknown_section(source: Source, token: Token) -> Diagnostic:
    """A first word that begins no declaration."""
    if token == "api":
        return Diagnostic(
            "P0009",
            "a file belongs to one API",
            Label(source, span_of(token), "a second `api` line"),
            help="put the policy of another API in a file of its own",
        )
    word = str(token)
    near = _SECTION_INSTEAD.get(word) or (
        closest(word, SECTIONS) if token.type in ("NAME", "SCOPED") else None
    )
    return Diagnostic(
        "P0009",
        f"no declaration begins with `{_shown(token)}`",
        Label(source, span_of(token)),
        help=f"did you mean `{near}`?"
        if near
        else "indent what continues a declaration; a declaration begins with one of "
        + ", ".join(f"`{word}`" for word in SECTIONS),
        fix=() if near is None else (Edit(span_of(token), near),),
    )


def stray(source: Source, token: Token) -> Diagnostic:
    """A word in the first column that continues what stands above it."""
    return Diagnostic(
        "P0012",
        f"`{token}` continues a declaration and must be indented",
        Label(source, span_of(token)),
        help="put four spaces before it",
        fix=(Edit(Span(span_of(token).start, span_of(token).start), "    "),),
    )


def lonely_documentation(source: Source, token: Token) -> Diagnostic:
    """`///` with no declaration after it."""
    return Diagnostic(
        "P0024",
        "this documentation belongs to no declaration",
        Label(source, span_of(token)),
        help="put it right before a declaration, or write `//`",
    )


def wrong_file(source: Source, token: Token | None, is_test_file: bool) -> Diagnostic:
    """A test among rules, or a rule among tests."""
    assert token is not None  # the declaration was parsed, so it has a first token
    if is_test_file:
        return Diagnostic(
            "P0018",
            f"`{token}` in a test file",
            Label(source, span_of(token)),
            help="files named `*_test.policy` hold nothing but tests, and what these share: "
            "`define NAME as token { … }` and `define NAME as resource …`",
        )
    return Diagnostic(
        "P0018",
        "a test outside a test file" if token == "test" else "a fixture outside a test file",
        Label(source, span_of(token)),
        help="move it to a file named `*_test.policy` beside this one",
    )


def passed_over(source: Source, span: Span) -> Diagnostic:
    """A rule, or what it needs, in a file that is not loaded."""
    word = source.text[span.start : span.end]
    return Diagnostic(
        "P0018",
        f"`{word}` in a test file, which is never loaded",
        Label(source, span),
        help="move it to a file whose name does not end in `_test.policy`",
        severity=Severity.WARNING,
    )


def too_many_tokens(source: Source) -> Diagnostic:
    """A file that is dense beyond all use."""
    return Diagnostic(
        "P0003",
        f"the file has more than {limits.FILE_TOKENS:,} words",
        Label(source, Span(0, 0)),
        help="split it: several files with the same `api` line are one policy",
    )


def too_long(source: Source, token: Token) -> Diagnostic:
    """A declaration that nobody could review."""
    return Diagnostic(
        "P0015",
        f"a declaration has more than {limits.DECLARATION_TOKENS:,} words",
        Label(source, span_of(token)),
        help="split it into several",
    )


def _begins_line(source: Source, token: Token) -> bool:
    start = span_of(token).start
    line_start = source.text.rfind("\n", 0, start) + 1
    return source.text[line_start:start].isspace()


def _shown(token: Token) -> str:
    text = str(token)
    return text if len(text) <= 40 else text[:40] + "…"
