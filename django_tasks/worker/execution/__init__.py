"""Run one task: call its body, stop it in time, decide what follows."""
