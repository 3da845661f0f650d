"""How the network is run fast where there is no gradient."""
