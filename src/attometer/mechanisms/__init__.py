"""The catalogue of mechanisms: each one a Program with its citation, its parameters, and inputs it can be run on."""

from attometer.mechanisms.catalogue import MECHANISMS, mechanism
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.parameters import Parameter

__all__ = ["MECHANISMS", "Mechanism", "Parameter", "mechanism"]
