"""Floor 6: decisions of the log, made again by other policies.

`replay` takes lines from any source and yields verdicts; `files` runs it on files, in several
processes, into a `tally`, which `report` presents. `recorded` turns one record into a question;
`deciding` decides many quickly; `recording` determines which facts a record lacks, and
`open_questions` follows their possible values.
"""

from policyd.replay.verdicts import Verdict as Verdict
from policyd.replay.verdicts import replay as replay
