"""What `ssamba predict` and `ssamba embed` leave: printed rows, files of rows, files of features; how they are resumed."""
