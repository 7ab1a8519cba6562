"""The gRPC services, and calls that must wait for an issuer."""
