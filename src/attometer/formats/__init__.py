"""How numbers are stored: formats of elements with their scales, and which module of a model is stored in which."""

from attometer.formats.gguf import MIXES, FileFormats, Mix, mix
from attometer.formats.modules import module_path
from attometer.formats.quantization import from_quantization
from attometer.formats.rules import WeightFormats, uniform
from attometer.formats.storage import CACHE_FORMATS, CACHE_ROWS, FORMATS, Storage, storage, stored_bytes

__all__ = [
    "CACHE_FORMATS",
    "CACHE_ROWS",
    "FORMATS",
    "MIXES",
    "FileFormats",
    "Mix",
    "Storage",
    "WeightFormats",
    "from_quantization",
    "mix",
    "module_path",
    "storage",
    "stored_bytes",
    "uniform",
]
