"""HTTPS to issuers, and the documents in which they name their endpoints."""
