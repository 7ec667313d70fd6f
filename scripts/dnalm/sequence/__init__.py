"""DNA for every wing: letters and codes, FASTA, k-mers, Markov chains, shuffles, periodicity, TRF."""
