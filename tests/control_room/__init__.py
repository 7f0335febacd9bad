"""The admin as a control room: what it shows, and what can be done there."""
