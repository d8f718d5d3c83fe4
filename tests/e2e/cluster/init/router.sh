#!/bin/sh
# router.sh COMMAND...: keep COMMAND (a uml node's kube-proxy) running: it ends when its configuration file changes.
while :; do
  "$@"
  sleep 1
done
