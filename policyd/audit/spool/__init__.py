"""Records on disk, between the decision log and its sinks (`Spool`), read by each sink at its own
pace (`Reader`, from a `Cursor` on).

A folder holds segments, which are append-only files of about 16 MiB, one `cursor` file for each
sink, and a lock, so that only one process uses the folder. A segment is a sequence of chunks
(`chunk`). Each chunk has checksums, the number of its records, and the number of the first one:
records are numbered from 0 on, for as long as the folder exists.

Invariants: a reader returns records in order, each as it was written, or says exactly how many are
missing. A damaged chunk yields no record. A segment is removed when all sinks have acknowledged it,
or, with `drop_oldest`, when there is no more room.
"""

from policyd.audit.spool.cursor import Cursor as Cursor
from policyd.audit.spool.reader import Batch as Batch
from policyd.audit.spool.reader import Reader as Reader
from policyd.audit.spool.spool import DEFAULT_MAX_BYTES as DEFAULT_MAX_BYTES
from policyd.audit.spool.spool import Spool as Spool
