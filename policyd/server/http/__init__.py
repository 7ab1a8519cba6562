"""What is served over HTTP: metadata of the APIs (RFC 9728), metrics and probes."""
