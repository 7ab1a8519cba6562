"""Floor 6: the command `policyd`, one module for each verb."""
