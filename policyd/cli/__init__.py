"""Floor 7: the command `policyd`, one module for each verb."""
