"""Errors that are meant to be read by the person at the keyboard."""


class UserError(ValueError):
    """A mistake in the input or the surroundings, told in one sentence.

    The sentence names the field, the value and what is allowed. The command line prints it
    without a traceback and exits with status 2.
    """
