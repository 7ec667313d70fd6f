"""The one kind of error a user can cause."""


class UserError(Exception):
    """Something the user can fix. The message is one line: place (file, line or key), what is wrong, what to do."""

    exit_status = 1
