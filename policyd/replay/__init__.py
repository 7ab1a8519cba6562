"""Floor 6: decisions of the log, made again by other policies.

`replay` takes lines from any source and yields verdicts; `files` runs it on files, in several
processes, into a `tally`, which `report` presents. `recorded` turns one record into a question;
`deciding` decides many quickly; `recording` determines which facts a record lacks, and
`open_questions` follows their possible values.

As a library, for logs in a cluster: `replay` yields a verdict for each line. Alternatively, a
`Counter` counts lines into a `Tally` on each machine. Tallies can be pickled and merged, and
`replay_text`, `replay_json` and `replay_html` print a `Report` of the whole.
"""

from policyd.replay.counting import Counter as Counter
from policyd.replay.html import replay_html as replay_html
from policyd.replay.report import Report as Report
from policyd.replay.report import replay_json as replay_json
from policyd.replay.report import replay_text as replay_text
from policyd.replay.tally import Tally as Tally
from policyd.replay.verdicts import Judge as Judge
from policyd.replay.verdicts import Verdict as Verdict
from policyd.replay.verdicts import replay as replay
