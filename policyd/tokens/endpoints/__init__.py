"""Endpoints of issuers that are asked about tokens and users, and the answers remembered."""
