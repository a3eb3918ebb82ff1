"""A result that prints as its page: paragraphs and tables, as text of a given width and as HTML."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from attometer.errors import printable
from attometer.view.result import Result
from attometer.view.table import Table
from attometer.view.text import folded

Block: TypeAlias = str | Table
"""A paragraph, whose lines are kept, or a table."""


class Report(Result, ABC):
    """A result object: printing it gives the report, and a notebook shows it as HTML."""

    @abstractmethod
    def page(self) -> Iterable[Block]:
        """Return the paragraphs and tables, in order."""

    def text(self, width: int | None = None) -> str:
        """Return the page as text, in lines of at most `width` characters where that can be."""
        return rendered(self.page(), width)

    def __str__(self) -> str:
        return self.text()

    def tables_of(self) -> tuple[Table, ...]:
        """Return the tables of the page; of a page without any as other results do."""
        return tuple(block for block in self.page() if isinstance(block, Table)) or super().tables_of()

    def _repr_html_(self) -> str:
        return "".join(
            block._repr_html_() if isinstance(block, Table) else f"<pre>{escape(printable(block))}</pre>"
            for block in self.page()
        )


def rendered(blocks: Iterable[Block], width: int | None = None) -> str:
    """Return paragraphs and tables as text, in lines of at most `width` characters where that can be."""
    return "\n\n".join(_text(block, width) for block in blocks)


def _text(block: Block, width: int | None) -> str:
    return block.text(width) if isinstance(block, Table) else "\n".join(folded(printable(block), width))
