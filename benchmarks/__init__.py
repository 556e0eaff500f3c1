"""Benchmarks of sparsenn: ``python -m benchmarks NAME [options]``."""
