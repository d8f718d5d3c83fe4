#!/bin/sh
# enter.sh FILE COMMAND...: join the control group whose cgroup.procs is FILE, then become COMMAND.
echo $$ > "$1" || exit 1
shift
exec "$@"
