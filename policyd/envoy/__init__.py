"""The messages of Envoy's external authorization, generated from `proto/envoy/` by `make proto`.

Not written by hand: `scripts/proto.py --check` tells whether the code is up to date.
"""
