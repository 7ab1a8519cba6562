"""Floor 0: source text, positions, the record of a finding, its codes, suggestions, renderers."""

from policyd.diagnostics.codes import CODES as CODES
from policyd.diagnostics.diagnostic import Diagnostic as Diagnostic
from policyd.diagnostics.diagnostic import Edit as Edit
from policyd.diagnostics.diagnostic import Label as Label
from policyd.diagnostics.diagnostic import Severity as Severity
from policyd.diagnostics.diagnostic import has_errors as has_errors
from policyd.diagnostics.source import Position as Position
from policyd.diagnostics.source import Source as Source
from policyd.diagnostics.source import Span as Span
from policyd.diagnostics.suggest import Suggestions as Suggestions
from policyd.diagnostics.suggest import closest as closest
