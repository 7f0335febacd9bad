"""The few names of billiard that projects use. Processes are not made by it here."""
