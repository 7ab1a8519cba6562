"""Where revocations come from: a file (`file`), or a Redis that many daemons share (`shared`).

`service` builds the configured sources; `wire` is the format of an entry.
"""

from policyd.sources.revocations.service import LibraryMissing as LibraryMissing
from policyd.sources.revocations.service import RevocationSources as RevocationSources
from policyd.sources.revocations.service import open_revocations as open_revocations
from policyd.sources.revocations.service import read_file_now as read_file_now
from policyd.sources.revocations.settings import RedisSettings as RedisSettings
from policyd.sources.revocations.settings import RevocationSettings as RevocationSettings
