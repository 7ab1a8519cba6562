"""Floor 6: decisions of the log, made again by other policies.

`replay` takes lines and yields verdicts, wherever the lines are; `files` runs it over files, in
several processes, into a `tally`, which `report` sums up. `recorded` turns one record into a
question; `deciding` asks many, quickly; `recording` knows what a log cannot hold, and
`open_questions` follows what that leaves open.
"""

from policyd.replay.verdicts import Verdict as Verdict
from policyd.replay.verdicts import replay as replay
