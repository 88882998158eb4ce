#!/usr/bin/env bash
# Run a test program for prove. cmocka 1.1.5 calls a skipped test "not ok # SKIP", which prove takes for a failure.
set -o pipefail
"$@" 2>&1 | sed -E 's/^not ok ([0-9]+) # SKIP/ok \1 # SKIP/'
