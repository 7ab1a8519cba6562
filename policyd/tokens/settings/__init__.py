"""The settings of tokens: issuers, their dialects and endpoints, DPoP."""
