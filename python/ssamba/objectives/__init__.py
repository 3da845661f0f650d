"""What is learned without labels: which patches are hidden, and how their answers are scored."""
