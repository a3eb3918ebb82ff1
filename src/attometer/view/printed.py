"""Results that print as one text: a notebook shows the same text."""

from attometer.view.result import Result


class Printed(Result):
    """A notebook shows what `print` does."""
