"""The dense twin: masks over dense float64 matrices, in plain NumPy, written again."""
