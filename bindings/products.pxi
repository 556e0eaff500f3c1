# Products over a pattern.
