#!/bin/sh
# The runner passes 0 as an empty argument, and true as 1.
seconds="${1:-0}"
if [ "${2:-0}" = 1 ]; then
    seconds=$(awk -v most="$seconds" -v seed="$$" 'BEGIN { srand(seed + srand()); print rand() * most }')
fi
sleep "$seconds"
