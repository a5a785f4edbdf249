#!/bin/sh
# Starts TrafficMimic with the permissions that each command needs, and no others. Needs no home, no
# network of its own, no cache and nothing of the folder that it was built in.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
lib=$(dirname -- "$here")/lib/trafficmimic
deno=$lib/deno
if ! [ -x "$deno" ]; then
  deno=$(command -v deno) || {
    echo "error: deno is neither on PATH nor at $lib/deno: install Deno 2.9 or newer" >&2
    exit 1
  }
fi
main=$lib/main.js
# Where users' plugins are bundled, the cache is the user's; elsewhere nothing is kept.
cache=/dev/null
case ${1-} in
@CASES@
  *) set -- --allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE "$main" "$@" ;;
esac
if [ -n "$cache" ]; then DENO_DIR=${DENO_DIR:-$cache} && export DENO_DIR; fi
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
exec "$deno" run --quiet --no-prompt --no-config --no-lock --no-remote --no-npm "$@"
