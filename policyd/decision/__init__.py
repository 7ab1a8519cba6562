"""A request and a verified token to a decision."""
