"""Statistics: exact chances of counts, permutation tests, paired tests, Holm's correction, intervals."""
