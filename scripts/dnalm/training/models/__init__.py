"""Models: loaded, built, certified, adapted, quantised."""
