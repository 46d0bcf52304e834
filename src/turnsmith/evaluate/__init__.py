"""Success with intervals, paired tests, budget curves, and the record of claims."""
