"""Floor 5: where policies and revocations come from and when they change."""
