"""The subjects and resources that AuthZEN's searches go through: in a file, or in a database."""
