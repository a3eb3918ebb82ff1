"""The catalogue of mechanisms: each one a Program with its citation, its parameters, and inputs it can be run on."""

from attometer.mechanisms.catalogue import MECHANISMS, mechanism, mechanisms
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.parameters import Parameter
from attometer.rooms import make_callable

__all__ = ["MECHANISMS", "Mechanism", "Parameter", "mechanism", "mechanisms"]

make_callable(__name__)
