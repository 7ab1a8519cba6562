"""The one exception root. Every error that policyd raises on purpose derives from it."""


class PolicydError(Exception):
    """Base of all errors raised by policyd; its text is fit for a user's eyes."""


class InternalError(PolicydError):
    """A defect of policyd that one of its own checks has found. Nothing was written."""
