"""What `predict` and `embed` leave, and how it is resumed: rows that are printed, files of rows and of features."""
