"""What a log tells of a policy: `counting` makes figures of records, `frequent` and `latency` keep
them small, `report` and `html` show them."""
