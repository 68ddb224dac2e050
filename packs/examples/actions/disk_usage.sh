#!/bin/sh
# Output that is JSON becomes data: later tasks and rules can use its fields.
df -P -k "$1" | awk 'NR == 2 { printf "{\"used_kib\": %d, \"free_kib\": %d, \"used_percent\": %d}\n", $3, $4, $5 }'
