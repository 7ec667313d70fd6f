"""Training itself: feeds, packing, attention kernels, steps."""
