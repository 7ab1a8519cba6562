"""How calls are carried: one interface, and two implementations over gRPC."""
