"""What was revoked, in memory: asked at every use of a token, filled from elsewhere."""
