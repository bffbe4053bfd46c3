# Builds the tree out of place. Sourced by quickstart and check.
# shellcheck shell=bash

# build_tree TOP DIR [configure options…]: leaves DIR/vexa. One build of a DIR at a time.
build_tree() {
  local top=$1 dir=$2
  shift 2
  mkdir -p "$top/build" "$dir" || return 1
  (
    flock 9
    if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] ||
       [ -n "$(find "$top" -maxdepth 2 \( -name Makefile.am -o -name local.mk \) -newer "$top/configure" -print -quit)" ]; then
      (cd "$top" && autoreconf -i >"$top/build/autoreconf.log" 2>&1) || {
        cat "$top/build/autoreconf.log" >&2
        return 1
      }
    fi
    if [ ! -e "$dir/Makefile" ] || [ "$top/configure" -nt "$dir/Makefile" ]; then
      (cd "$dir" && "$top/configure" -q --enable-werror "$@") || return 1
    fi
    make -C "$dir" -j"$(nproc)" --no-print-directory -s all
  ) 9>"$top/build/lock"
}
