"""What every long-running process of the app needs: duties, forks, wake-ups, probes."""
