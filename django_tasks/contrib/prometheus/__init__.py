"""
Metrics for Prometheus: needs the extra `metrics`.

`urls` has a view that tells of the queues, `worker` what one worker tells of itself on its health
port. `dashboard.json` is for Grafana, `alerts.yml` for Prometheus. See
docs/howto/monitor-with-prometheus.md.
"""
