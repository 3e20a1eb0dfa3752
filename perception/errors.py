"""Errors that a user can cause; the command line prints their message without a traceback."""


class InputError(ValueError):
    """Input that cannot be used. The message names the input, what was expected, what was found, and how to fix it."""
