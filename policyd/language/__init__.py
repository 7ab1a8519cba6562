"""Floor 1: the text of policies to a checked policy set."""

from policyd.language.expectations import LoadedTests as LoadedTests
from policyd.language.expectations import load_tests as load_tests
from policyd.language.identity import check_identity as check_identity
from policyd.language.identity import unknown_issuers as unknown_issuers
from policyd.language.loader import Loaded as Loaded
from policyd.language.loader import Loader as Loader
from policyd.language.loader import load as load
from policyd.language.parser import Parsed as Parsed
from policyd.language.parser import parse as parse
