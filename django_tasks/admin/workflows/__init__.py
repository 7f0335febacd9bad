"""The screens of workflows."""
