#!/bin/bash
# Draws docs/planner.md, docs/metrics.md and the committed texts of the tables anew, from the program that is built.
#   docs/draw.sh [--check] [PROGRAM]     default PROGRAM: build/debug/docs/draw
# --check changes nothing and fails when one of them is not what the program says.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
check=
if [ "${1-}" = --check ]; then
  check=1
  shift
fi
draw=${1:-$top/build/debug/docs/draw}
failed=0

picture() { # what, file
  local new
  new=$(mktemp)
  "$draw" "$1" >"$new"
  if [ -z "$check" ]; then
    cat "$new" >"$top/$2"
  elif ! diff -u "$top/$2" "$new"; then
    echo "$2 is not what the program says: run docs/draw.sh" >&2
    failed=1
  fi
  rm -f "$new"
}

picture planner docs/planner.md
picture planner-text tests/golden/planner.txt
picture agent-text tests/golden/agent-tables.txt
picture metrics docs/metrics.md
exit $failed
