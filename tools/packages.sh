# Debian packages this project needs, and how they are installed. Sourced by quickstart and check.
# shellcheck shell=bash

packages_build="autoconf automake gcc make pkg-config libc6-dev libfcgi-dev libjson-c-dev
  libsqlite3-dev libssl-dev libcurl4-openssl-dev libinih-dev libgit2-dev"
packages_run="nginx curl ca-certificates procps"
packages_test="apache2 libapache2-mod-fcgid git libcmocka-dev python3 sqlite3 clang-format-14 man-db groff"
packages_clients="nodejs chromium"   # a test whose client is not there says skipped
packages_bench="wrk"
packages_bench_streams="libnginx-mod-nchan"   # compared with where it can be installed

# Names of those packages that are not installed.
packages_missing() {
  local p
  for p in "$@"; do
    case "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null)" in
      ii*) ;;
      *) printf '%s ' "$p" ;;
    esac
  done
}

# Installs what is missing of the named packages; services they bring are kept from starting.
packages_install() {
  local missing as_root="" policy=/usr/sbin/policy-rc.d made_policy=""
  missing=$(packages_missing "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "These Debian packages are missing: $missing" >&2
      echo "Install them as root, or install sudo." >&2
      return 1
    }
    as_root=sudo
  fi
  echo "Installing Debian packages: $missing" >&2
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null && $as_root chmod 755 "$policy"
    made_policy=1
  fi
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }' sh $missing >&2
  local status=$?
  [ -z "$made_policy" ] || $as_root rm -f "$policy"
  return $status
}
