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

# A transport under tor writes to its state folder only, and reads only that, what is installed, tor's cookie and
# fingerprint, and the files that torrc names (none with a comma in its name). A bridge connects to its tor, to
# its decoy and to nothing else. OpenSSL calls a bridge back, which takes the right to all libraries. Sets write, read,
# net and ffi.
narrow() {
  umask 077
  write=${TOR_PT_STATE_LOCATION:-/nonexistent}
  read=$lib,$write
  folder=${write%/}
  read=$read,${folder%/*}/fingerprint
  if [ -n "${TOR_PT_AUTH_COOKIE_FILE-}" ]; then read=$read,$TOR_PT_AUTH_COOKIE_FILE; fi
  before=
  for word; do
    case $before:$word in
      --model:?*) read=$read,$word ;;
      *:--model=?*) read=$read,${word#--model=} ;;
    esac
    before=$word
  done
  net=--allow-net
  ffi=--allow-ffi
  if [ -n "${TOR_PT_SERVER_TRANSPORTS-}" ]; then
    net=$net=127.0.0.1,[::1],localhost
  else
    for file in x86_64-linux-gnu aarch64-linux-gnu; do ffi=$ffi,/usr/lib/$file/libssl.so.3; done
    ffi=--allow-ffi=${ffi#*,},/usr/lib64/libssl.so.3,/usr/lib/libssl.so.3
  fi
  set -f
  IFS=';'
  for option in ${TOR_PT_SERVER_TRANSPORT_OPTIONS-}; do
    value=${option#*=}
    # Tor puts backslashes before colons.
    while :; do
      case $value in *\\*) value=${value%%\\*}${value#*\\} ;; *) break ;; esac
    done
    case $option in
      mimic:cert=?* | mimic:key=?* | mimic:front=?* | mimic:model=?*) read=$read,$value ;;
      mimic:decoy=?*) value=${value#http://} && net=$net,${value%/} ;;
    esac
  done
  IFS=,
  if [ -n "${TOR_PT_SERVER_TRANSPORTS-}" ]; then
    for address in ${TOR_PT_SERVER_BINDADDR:-mimic-0.0.0.0}; do net=$net,${address#*-}; done
    for address in ${TOR_PT_ORPORT-} ${TOR_PT_EXTENDED_SERVER_PORT-}; do net=$net,$address; done
  fi
  unset IFS
  set +f
  # Compiled code is kept beside the keys: the next start takes half as long.
  case ${TOR_PT_STATE_LOCATION-} in
    /*)
      if mkdir -p -m 700 -- "$write" 2> /dev/null; then
        cache=$folder/compiled
        # What is needed for a moment only is made there, too.
        TMPDIR=$folder && export TMPDIR
      fi
      ;;
  esac
}

case ${1-} in
@CASES@
  *) set -- --allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE "$main" "$@" ;;
esac
if [ -n "$cache" ]; then DENO_DIR=${DENO_DIR:-$cache} && export DENO_DIR; fi
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
exec "$deno" run --quiet --no-prompt --no-config --no-lock --no-remote --no-npm "$@"
