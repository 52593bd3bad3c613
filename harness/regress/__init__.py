"""Many models through a pair of environments: warm workers, one crash costs one case."""
