"""What surrounds a training and changes nothing of its result."""
