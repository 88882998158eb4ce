#!/usr/bin/env bash
# Write C that holds the given text files: embed.sh FILE... > parts_data.c. See sim/topo/import_hwloc_board.h.
set -euo pipefail
echo '/* Made by scripts/embed.sh: do not edit. */'
echo '#include "topo/import_hwloc_board.h"'
n=0
for file; do
    echo "static const unsigned char text_${n}[] = {"
    od -An -v -tu1 "$file" | sed 's/  */ /g; s/^ //; s/ /,/g; s/$/,/'
    echo '};'
    n=$((n + 1))
done
echo 'const fs_hw_text fs_hw_shipped_parts[] = {'
n=0
for file; do
    echo "    {\"$file\", (const char *)text_$n, sizeof text_$n},"
    n=$((n + 1))
done
echo '};'
echo "const uint32_t fs_hw_n_shipped_parts = $n;"
