"""What the network is: differentiable, on any device."""
