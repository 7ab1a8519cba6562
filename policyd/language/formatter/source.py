"""What the author wrote: leaves as they stand in the text, and comments between them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from policyd.diagnostics import Span
from policyd.language import nodes
from policyd.language.formatter.document import Document, Group, Indent, Line, joined

_TRIVIA = re.compile(r"(?:\s|//[^\n]*)*")


class WrittenSource:
    """The text of one file, by node. `comments` are the places of all comments, documentation
    included."""

    def __init__(self, text: str, comments: Sequence[Span]) -> None:
        self.text = text
        self._comments = [span.start for span in comments]

    def raw(self, node: nodes.Node) -> str:
        """Print a node as it stands."""
        return self.text[node.span.start : node.span.end]

    def named(self, name: nodes.Name) -> str:
        """Print a name without quotes that it does not need. Those of a scope stay."""
        raw = self.raw(name)
        is_plain = not name.quoted and raw == f'"{name.text}"'
        return name.text if is_plain else raw

    def opens_after(self, node: nodes.Node) -> bool:
        """Tell whether a block follows the node: the tree does not tell an empty one from none."""
        trivia = _TRIVIA.match(self.text, node.span.end)
        return trivia is not None and self.text.startswith("{", trivia.end())

    def listed(self, names: Sequence[nodes.Name | nodes.Text]) -> Document:
        """Print names with commas between them, on one line or on several."""
        written = (self.named(one) if isinstance(one, nodes.Name) else self.raw(one)
                   for one in names)  # fmt: skip
        return joined((",", Line()), written)

    def group(self, names: Sequence[nodes.Name | nodes.Text]) -> Group:
        """Print names on one line, or further ones below, indented."""
        return Group(Indent(self.listed(names)), self.has_comment_between(names))

    def has_comment_between(self, parts: Sequence[nodes.Node]) -> bool:
        """Tell whether a comment stands between two of the parts."""
        return any(self._commented(a.span.end, b.span.start) for a, b in pairwise(parts))

    def has_comment_inside(self, whole: nodes.Node, parts: Sequence[nodes.Node]) -> bool:
        """Tell whether a comment stands between the parts of a list, or before the first one."""
        return self.has_comment_between(parts) or self._commented(
            whole.span.start, parts[0].span.start
        )

    def _commented(self, start: int, end: int) -> bool:
        index = bisect_left(self._comments, start)
        return index < len(self._comments) and self._comments[index] < end
