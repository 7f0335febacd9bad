"""RabbitMQ, SQS or whatever else kombu speaks to hands out the ids of ready tasks."""
