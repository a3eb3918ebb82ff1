"""Results that print as one text: a notebook shows the same text."""

from html import escape

from attometer.errors import printable


class Printed:
    """A notebook shows what `print` does."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(printable(str(self)))}</pre>"
