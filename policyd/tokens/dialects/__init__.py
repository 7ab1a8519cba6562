"""Dialects: how each make of issuer writes down what OAuth means, and what marks its tokens."""
