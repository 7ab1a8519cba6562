"""Floor 6: the command `policyd`, a module a verb."""
