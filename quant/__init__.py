"""Making GGUF files: convert, calibrate, choose a type for every tensor, quantize, measure."""

from leafwise.quant.contracts import CostTable, Recipe
from leafwise.quant.convert import convert
from leafwise.quant.divergence import Divergence
from leafwise.quant.errors import QuantizeError
from leafwise.quant.evidence import Effort
from leafwise.quant.imatrix import gather
from leafwise.quant.importance import ImportanceMatrix
from leafwise.quant.making import Made, choose, make
from leafwise.quant.measure import make_reference, measure
from leafwise.quant.mixes import MIXES
from leafwise.quant.planning import Ask
from leafwise.quant.quantize import quantize

__all__ = [
    "MIXES",
    "Ask",
    "CostTable",
    "Divergence",
    "Effort",
    "ImportanceMatrix",
    "Made",
    "QuantizeError",
    "Recipe",
    "choose",
    "convert",
    "gather",
    "make",
    "make_reference",
    "measure",
    "quantize",
]
