#!/usr/bin/env bash
# usage: rank.sh PLACE TURN MOUNTPOINT... -- COMMAND [ARGUMENT...]
# Runs one rank of an MPI job on a node of its own, as far as files go: the mounts are dealt out among the ranks, from
# the one with the number TURN on, and what a rank finds at PLACE is its own mount. So one path names one file everywhere.
set -euo pipefail
place=$1 turn=$2
shift 2
mounts=()
while [[ $1 != -- ]]; do
  mounts+=("$1")
  shift
done
mount=${mounts[(OMPI_COMM_WORLD_RANK + turn) % ${#mounts[@]}]}
exec unshare --mount bash --norc -euc 'mount --bind "$1" "$2"; shift 2; exec "$@"' - "$mount" "$place" "${@:2}"
