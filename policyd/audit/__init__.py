"""Floor 4: decision records. `record` says what is in one, `projection` what of token and request
is, and `log` brings them out of the process.

A record is made and written by a thread of its own: a request only puts a small entry into a queue.
"""

from policyd.audit.log import DecisionLog as DecisionLog
from policyd.audit.log import FileSink as FileSink
from policyd.audit.log import Sink as Sink
from policyd.audit.log import StandardOutput as StandardOutput
from policyd.audit.projection import Mask as Mask
from policyd.audit.record import Entry as Entry
from policyd.audit.record import Origin as Origin
from policyd.audit.record import Recorder as Recorder
