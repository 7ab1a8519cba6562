"""policyd: a policy-as-code authorization engine for OAuth 2.0 resource servers."""

__version__ = "0.1.0"
LANGUAGE_VERSION = "1"
API_VERSION = "policyd.v1"
