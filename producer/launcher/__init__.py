"""A site on this machine: the embedded Redis, the workers, and who may join them."""
