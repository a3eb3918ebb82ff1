"""How results look: numbers, tables, figure style, saving."""
