"""A checked policy to something callable: the compiled program, and the interpreter as oracle."""

from policyd.program.compiler import compile_policies as compile_policies
from policyd.program.index import Program as Program
