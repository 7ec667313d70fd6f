"""What every wing needs of DNA: letters and codes, k-mers, shuffles, periodicity."""
