"""Coverage-guided fuzzing of the token pipeline: `make fuzz`.

`target` says what is done with any bytes, and what must hold; `tokens` hands it to atheris;
`corpus` holds inputs to begin with, which the ordinary tests run too.
"""
