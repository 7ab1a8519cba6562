"""Floor 4: where policies and revocations come from and when they change."""
