"""What the claims of a token say, read as its issuer's dialect writes them."""
