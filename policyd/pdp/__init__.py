"""A policy decision point: all that decides, put together, without what carries calls.

`assembly` makes one of a configuration. `answering` answers every question, whatever it came by;
`waiting` asks issuers first where they must be asked, and `recording` holds answers back until
their records are safe. `activation` is the way of policies into service, `policies` keeps them
current, and `reconfiguration` the issuers. The daemon is built on it.
"""
