"""Decisions in the process that asks for them: `policyd.Embedded`.

Input: `policyd.toml`, and questions in plain values of Python. Output: the same answers that the
daemon gives, as the values of its Python client. `point` opens and closes what decides, and `asks`
has the methods that ask it. `questions` reads what is asked, `answers` says what was decided, and
`asking` waits for answers that come later. What decides is `policyd.pdp`, as in the daemon: nothing
of it is here.

Invariant: neither gRPC nor protobuf is loaded.
"""

from policyd.embedded.asks import Forked as Forked
from policyd.embedded.point import Embedded as Embedded
