"""What a Prometheus server is told."""
