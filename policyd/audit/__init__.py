"""Floor 5: decision records. `record` defines their contents, `projection` selects values of token
and request, `log` writes them from its `queue`, and `sinks/` are their destinations.

A separate thread makes and writes the records: a request only adds a small entry to a queue.
"""

from policyd.audit.log import CHUNK as CHUNK
from policyd.audit.log import DecisionLog as DecisionLog
from policyd.audit.log import Durability as Durability
from policyd.audit.log import WhenFull as WhenFull
from policyd.audit.projection import Mask as Mask
from policyd.audit.projection import Projection as Projection
from policyd.audit.projection import UnknownFact as UnknownFact
from policyd.audit.queue import LIGHT as LIGHT
from policyd.audit.record import CallDetails as CallDetails
from policyd.audit.record import Entry as Entry
from policyd.audit.record import Recorder as Recorder
from policyd.audit.sampling import Sampling as Sampling
from policyd.audit.sinks import FileSink as FileSink
from policyd.audit.sinks import Sink as Sink
from policyd.audit.sinks import StandardOutput as StandardOutput
