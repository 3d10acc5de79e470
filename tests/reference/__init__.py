"""What the package must agree with: NumPy and SciPy only, written from the textbook formula."""
