"""Floor 8: the command `policyd`, one module for each verb."""
