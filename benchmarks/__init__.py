"""Side-by-side measurements of task systems. See README.md."""
