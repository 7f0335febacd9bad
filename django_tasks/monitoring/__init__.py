"""How things stand: what the admin's overview says, each part from one bounded query."""
