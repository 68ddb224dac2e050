#!/bin/sh
# Named arguments come first, then those with a position: greet.sh --tone=loud Ada 2
tone=plain
case "$1" in
--tone=*)
    tone="${1#--tone=}"
    shift
    ;;
esac

greeting="Hello, $1!"
if [ "$tone" = loud ]; then
    greeting=$(printf '%s' "$greeting" | tr '[:lower:]' '[:upper:]')
fi

count=0
while [ "$count" -lt "${2:-1}" ]; do
    printf '%s\n' "$greeting"
    count=$((count + 1))
done
