"""Where decision records go, a module a kind, behind one interface (`sink.Sink`).

To add one: a module here with a class that is a `Sink`, its settings in
`policyd.server.config.tables`, and a place in `policyd.server.decisions` where it is chosen.
"""

from policyd.audit.sinks.file import FileSink as FileSink
from policyd.audit.sinks.sink import Sink as Sink
from policyd.audit.sinks.stdout import StandardOutput as StandardOutput
