#!/bin/sh
# embed.sh ROOT contracts/a.json contracts/b.json … > contracts_data.c
# Turns the contracts (paths relative to ROOT) into the C table lib/contracts_data.h declares,
# sorted by name whatever the order of the arguments. Plain sh and sed.
set -eu
LC_ALL=C
export LC_ALL

root=$1
shift
names=$(printf '%s\n' "$@" | sed 's|.*/||; s|\.json$||' | sort)

printf '/* Made by contracts/embed.sh from contracts/. Do not edit. */\n'
printf '#include "lib/contracts_data.h"\n\n'
i=0
for f in $names; do
    printf 'static const char text_%d[] =\n' "$i"
    # a line becomes a literal of its own; "?" is escaped so that no trigraph can arise
    sed 's/\\/\\\\/g; s/"/\\"/g; s/?/\\?/g; s/^/    "/; s/$/\\n"/' "$root/contracts/$f.json"
    printf '    "";\n\n'
    i=$((i + 1))
done
printf 'const struct contract_file contract_files[] = {\n'
i=0
for f in $names; do
    printf '    {"%s", text_%d, sizeof text_%d - 1},\n' "$f" "$i" "$i"
    i=$((i + 1))
done
printf '};\nconst size_t contract_files_count = sizeof contract_files / sizeof *contract_files;\n'
