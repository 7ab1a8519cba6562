"""Protobuf to the model and back."""
