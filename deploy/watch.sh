#!/usr/bin/env bash
# watch.sh LABEL LOG COMMAND...: runs the command into the log, says how far it is, and on failure shows the log's end.
set -euo pipefail

label=$1 log=$2
shift 2

# A process group of its own: Ctrl-C here also ends the compilers that pip started.
set -m
"$@" >"$log" 2>&1 </dev/null &
job=$!
set +m
trap 'kill -- "-$job" 2>/dev/null || true' EXIT

every=15 begin='' end=$'\n'
if [[ -t 1 ]]; then
    every=1 begin=$'\r\033[K' end=''
fi

say() { printf '%s%s: %d s %s%s' "$begin" "$label" "$SECONDS" "$1" "$end"; }

ninja_step() { grep -oE '\[ *[0-9]+/[0-9]+\]' "$log" | tail -n 1 || true; }

while kill -0 "$job" 2>/dev/null; do
    if ((SECONDS % every == 0)); then
        say "$(ninja_step)"
    fi
    sleep 1
done

status=0
wait "$job" || status=$?
end=$'\n'
if ((status == 0)); then
    say 'done'
else
    say "failed with status $status; the end of its log:"
    tail -n 30 "$log" >&2
    echo "The whole log: $PWD/$log" >&2
fi
exit "$status"
