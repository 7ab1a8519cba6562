"""Floor 7: what editors use: the language server, and lexers for highlighting.

The analysis (`workspace`, `index`, `hover`, `completion`, `rename`, `outline`, `fixes`) knows
nothing of the protocol; `convert` and `server` know little else.
"""
