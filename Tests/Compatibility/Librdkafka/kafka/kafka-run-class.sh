#!/usr/bin/env bash
# Runs a class with Apache Kafka's jars (OMQ_PEERS/kafka), as Kafka's script of this name does.
set -euo pipefail
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "${CLASSPATH:-.}:$OMQ_PEERS/kafka/*" "$@"
