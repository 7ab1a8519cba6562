"""Policies that may serve next, deciding a sample of what is asked: beside what serves, unheard.

`sample` takes decisions on their way to the log; `policies` decides them again, in its own thread.
"""

from policyd.pdp.shadow.policies import ShadowPolicies as ShadowPolicies
