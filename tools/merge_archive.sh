#!/bin/sh
# merge_archive.sh OUTPUT ARCHIVE...
#
# One archive with one object from several: everything is linked into a relocatable object and the
# symbols that are hidden from users become local, so that a program linked against it sees the public
# functions only and may have a `buffer_append` of its own. LD, OBJCOPY and AR name the tools.
set -eu

output=$1
shift
object=${output%.a}.o

rm -f "$output"
"${LD:-ld}" -r -o "$object" --whole-archive "$@" --no-whole-archive
"${OBJCOPY:-objcopy}" --localize-hidden "$object"
"${AR:-ar}" rcsD "$output" "$object"
rm -f "$object"
