"""Lower bounds on I/O, by class of algorithms."""
