"""Floor 4: where policies come from and when they change. `files` is a directory of files."""

from policyd.sources.files import DirectoryWatcher as DirectoryWatcher
from policyd.sources.files import PoliciesUnreadable as PoliciesUnreadable
from policyd.sources.files import PolicyFiles as PolicyFiles
from policyd.sources.files import read_directory as read_directory
