# Counter-based random numbers.
