"""Mistakes in what a user gave us: said in one sentence, without a traceback, at the command line."""


class InputError(ValueError):
    """Input that cannot be used. The message names the thing, what was expected, what was found, and the cure."""
