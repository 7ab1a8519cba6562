"""The messages of the proto package `policyd.v1`, generated from `proto/` by `make proto`.

Not written by hand: `scripts/proto.py --check` tells whether the code is up to date.
"""
