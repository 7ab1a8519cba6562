"""The reasons of a decision (see `policyd.reasons`)."""

from policyd.reasons import Reason as Reason
