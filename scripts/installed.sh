# Sourced by scripts/install and scripts/uninstall: what was placed, and how it goes again.

places=(/sbin/mount.chfs /sbin/umount.fuse.chfs /sbin/umount.fuse /usr/bin/chfsctl /usr/share/man/man8/mount.chfs.8)

parse_prefix() {
  prefix=${DESTDIR-}
  while (($# > 0)); do
    case $1 in
      --help) usage && exit ;;
      --prefix)
        (($# > 1)) || misuse '--prefix needs a directory'
        prefix=$2
        shift
        ;;
      --prefix=*) prefix=${1#*=} ;;
      *) misuse "unknown argument '$1'" ;;
    esac
    shift
  done
  [[ -z $prefix || $prefix == /* ]] || prefix=$PWD/$prefix
  prefix=${prefix%/}
  list=$prefix/usr/share/chfs/installed
}

# One line for each thing placed, in that order: `directory PATH` or `file SHA256 PATH`.
start_list() {
  local directory
  directory=$(dirname "$list")
  local -a made=()
  while [[ ! -d $directory ]]; do
    made=("$directory" "${made[@]}")
    directory=$(dirname "$directory")
  done
  mkdir -p -m 755 "$(dirname "$list")"
  : >"$list"
  ((${#made[@]} == 0)) || printf 'directory %s\n' "${made[@]}" >>"$list"
}

# Takes away what the list names, the last first. A file that was changed since is left, and told.
remove_installed() {
  [[ -e $list ]] || return 0
  local kind rest checksum path
  local -a lines
  mapfile -t lines <"$list"
  rm -f "$list"
  local i
  for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
    read -r kind rest <<<"${lines[i]}"
    case $kind in
      file)
        checksum=${rest%% *}
        path=${rest#* }
        if [[ ! -e $path ]]; then
          continue
        elif [[ $(sha256sum <"$path" | cut -d ' ' -f 1) == "$checksum" ]]; then
          rm -f "$path"
        else
          say "$path was changed since and is left" >&2
        fi
        ;;
      # What others have put into it stays.
      directory) rmdir "$rest" 2>/dev/null || true ;;
    esac
  done
}
