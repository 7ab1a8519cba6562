"""Floor 4: decision records. `record` says what is in one, `projection` what of token and request
is, `log` brings them out of the process, by way of its `queue`, and `sinks/` are where they go.

A record is made and written by a thread of its own: a request only puts a small entry into a queue.
"""

from policyd.audit.log import DecisionLog as DecisionLog
from policyd.audit.projection import Mask as Mask
from policyd.audit.projection import Projection as Projection
from policyd.audit.projection import UnknownFact as UnknownFact
from policyd.audit.queue import LIGHT as LIGHT
from policyd.audit.record import Entry as Entry
from policyd.audit.record import Origin as Origin
from policyd.audit.record import Recorder as Recorder
from policyd.audit.sinks import FileSink as FileSink
from policyd.audit.sinks import Sink as Sink
from policyd.audit.sinks import StandardOutput as StandardOutput
