#!/usr/bin/env bash
# Replaces Kafka's script of this name by the omq command line, as far as librdkafka's tests use it: add and remove a rule of a topic.
set -euo pipefail

command='' principal='' operation='' topic='' host=() deny=()
take_host() { [[ $1 == '*' ]] || host=(--host "$1"); }
while (($#)); do
    case $1 in
        --bootstrap-server) shift ;;   # OMQ_SERVER has it
        --add|--remove) command=${1#--} ;;
        --force) ;;
        --allow-principal) principal=$2; shift ;;
        --deny-principal) principal=$2 deny=(--deny); shift ;;
        --allow-host|--deny-host) take_host "$2"; shift ;;
        --operation) operation=${2,}; shift ;;
        --topic) topic=$2; shift ;;
        *) printf 'kafka-acls.sh: %s is not known here\n' "$1" >&2; exit 2 ;;
    esac
    shift
done
[[ -n $principal && -n $operation && -n $topic ]] || { printf 'kafka-acls.sh: a principal, --operation and --topic are needed\n' >&2; exit 2; }
case $command in
    add) exec "$OMQ" acl add "$principal" "$operation" "topic:$topic" "${host[@]}" "${deny[@]}" ;;
    remove) exec "$OMQ" acl remove "$principal" "$operation" "topic:$topic" "${host[@]}" ;;
    *) printf 'kafka-acls.sh: --add or --remove is needed\n' >&2; exit 2 ;;
esac
