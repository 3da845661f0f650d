"""Sound: files read, and what a network reads of them."""
