"""What each question reads over little history and over much."""
