"""The keys of issuers: read strictly, kept fresh in the background, looked up without waiting."""
