"""Callers that mean harm, one kind a function, and what others notice of them."""
