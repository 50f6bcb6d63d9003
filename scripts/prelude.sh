# Sourced by every script here: strict mode, the repository's root, one way to fail, and packages on demand.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
name=$(basename "$0")
# npm and node-gyp must neither ask nor advertise, and the headers must come from this machine (see node_headers).
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false

say() { printf '%s: %s\n' "$name" "$*"; }
fail() {
  printf '%s: %s\n' "$name" "$*" >&2
  exit 1
}
# Wrong arguments end here, with one line.
misuse() { fail "$* (try --help)"; }

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}
can_be_root() { [[ $(id -u) == 0 ]] || command -v sudo >/dev/null; }

# Names those of the given Debian packages that are not installed.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' || true)
  for package in "$@"; do
    grep -qxF -- "$package" <<<"$installed" || printf '%s ' "$package"
  done
}

# Installs what is missing of the given Debian packages, and asks apt for nothing when nothing is.
need_packages() {
  command -v dpkg-query >/dev/null || fail "this is no Debian system: install by hand what stands for $*"
  local missing
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  can_be_root || fail "missing packages: ${missing% }; install them, or run this as root or with sudo"
  say "installing Debian packages: ${missing% }"
  install_packages $missing || fail "apt-get could not install: ${missing% }"
}

install_packages() {
  local log
  log=$(mktemp)
  # The package lists of a fresh image are empty or old: fetch them only when the first attempt fails.
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >"$log" 2>&1; then
    if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq -y --no-install-recommends "$@"; } >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      return 1
    fi
  fi
  rm -f "$log"
}

need_node() {
  command -v node >/dev/null || fail 'node is not installed: Node.js 20.19 or newer is needed'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js $(node -v) is too old: 20.19 or newer is needed"
}

# The prefix of the installed Node headers, so that node-gyp never downloads any.
node_headers() {
  local prefix
  for prefix in /usr "$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"; do
    if [[ -e $prefix/include/node/node_api.h ]]; then
      printf '%s' "$prefix"
      return
    fi
  done
}
