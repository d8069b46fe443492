# RabbitMQ as Debian has it, with all that it writes in /tmp. Its first ports (4369 of epmd, 25672) are for its own kind.
export HOME=/tmp/home RABBITMQ_NODENAME=rabbit@rabbit RABBITMQ_CONFIG_FILE=/var/task/rabbit
export RABBITMQ_MNESIA_BASE=/tmp/mnesia RABBITMQ_LOG_BASE=/tmp/log RABBITMQ_LOGS=- RABBITMQ_PID_FILE=/tmp/pid
export RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/plugins RABBITMQ_FEATURE_FLAGS_FILE=/tmp/flags RABBITMQ_GENERATED_CONFIG_DIR=/tmp/config
mkdir -p /tmp/home /tmp/mnesia /tmp/log
echo '[rabbitmq_management_agent].' >/tmp/plugins
exec /usr/lib/rabbitmq/bin/rabbitmq-server
