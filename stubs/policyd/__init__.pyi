from policyd.embedded import Embedded as Embedded

__version__: str
LANGUAGE_VERSION: str
API_VERSION: str
