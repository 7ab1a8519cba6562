"""The destinations of decision records, one module for each kind.

There are two interfaces. The decision log's thread writes to one `sink.Sink`: a file, standard
output, or the spool. A sink that is fed from the spool is a `destination.Destination`;
`fed.FedSink` makes a `Sink` one.

To add one: write a module here, add its settings in `policyd.config.sinks`, and choose it in
`policyd.pdp.decisions`.
"""

from policyd.audit.sinks.destination import Destination as Destination
from policyd.audit.sinks.destination import Outcome as Outcome
from policyd.audit.sinks.fed import FedSink as FedSink
from policyd.audit.sinks.file import FileSink as FileSink
from policyd.audit.sinks.sink import Sink as Sink
from policyd.audit.sinks.stdout import StandardOutput as StandardOutput
