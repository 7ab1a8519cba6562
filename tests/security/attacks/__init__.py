"""Attacks on tokens: each differs in one respect from a twin that is first shown accepted.

`test_catalogue` lists the attacks, and PyJWT's advisories, with the tests of each.
"""
