#!/usr/bin/env bash
# Replaces Kafka's script of this name by the omq command line, as far as librdkafka's tests use it: create with settings, add partitions,
# delete.
set -euo pipefail

command='' topic='' partitions=() factor=() configs=()
while (($#)); do
    case $1 in
        --bootstrap-server) shift ;;   # OMQ_SERVER has it
        --create|--alter|--delete) command=$1 ;;
        --topic) topic=$2; shift ;;
        --partitions) partitions=(--partitions "$2"); shift ;;
        --replication-factor) factor=(--replication-factor "$2"); shift ;;
        --config) configs+=(--config "$2"); shift ;;
        *) printf 'kafka-topics.sh: %s is not known here\n' "$1" >&2; exit 2 ;;
    esac
    shift
done
case $command in
    --create) exec "$OMQ" topic create "$topic" "${partitions[@]}" "${factor[@]}" "${configs[@]}" ;;
    --alter) exec "$OMQ" topic add-partitions "$topic" "${partitions[@]}" ;;
    --delete) exec "$OMQ" topic delete "$topic" ;;
    *) printf 'kafka-topics.sh: --create, --alter or --delete is needed\n' >&2; exit 2 ;;
esac
