"""What can be said of a checked policy without a question to it."""
