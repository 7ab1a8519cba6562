"""policyd: a policy-as-code authorization engine for OAuth 2.0 resource servers."""

__version__ = "0.1.0"
LANGUAGE_VERSION = "1"
API_VERSION = "policyd.v1"


def __getattr__(name: str) -> object:
    """Load what decides in this process when it is first asked for: all else need not have it."""
    if name != "Embedded":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("policyd.embedded"), name)
