#!/usr/bin/env bash
# usage: guard.sh MOUNTPOINT DIRECTORY <PIPE
# Waits until the test at the other end of the pipe is gone. If it could not end its mount itself, since it was killed
# or ran out of time, this ends every process that is at work there, the mount, and the files.
trap '' HUP INT TERM
read -r
mountpoint=$1 directory=$2

mounted() { grep -qF " $mountpoint " /proc/self/mountinfo; }

# The working directories are asked of /proc, which never asks the mount.
end_processes() {
  local process pid
  for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
    case "$(tr '\0' ' ' <"$process/cmdline") $(readlink "$process/cwd")" in
      # It ends by itself and removes what it has made.
      *fsck.js*) ;;
      *"$mountpoint"* | *"$directory"*) kill -KILL "$pid" ;;
    esac
  done
}

for attempt in {1..20}; do
  [[ -d $directory ]] || mounted || exit 0
  end_processes
  if mounted; then
    umount -f "$mountpoint" || umount -l "$mountpoint"
  else
    rm -rf "$directory"
    rmdir "$mountpoint"
  fi
  sleep 0.25
done 2>/dev/null
