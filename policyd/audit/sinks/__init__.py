"""The destinations of decision records, one module for each kind, behind one interface
(`sink.Sink`).

To add one: write a module here with a class that is a `Sink`, add its settings in
`policyd.server.config.tables`, and choose it in `policyd.server.decisions`.
"""

from policyd.audit.sinks.file import FileSink as FileSink
from policyd.audit.sinks.sink import Sink as Sink
from policyd.audit.sinks.stdout import StandardOutput as StandardOutput
