"""What connects tasks to other packages, each an extra: nothing here is imported by the rest."""
