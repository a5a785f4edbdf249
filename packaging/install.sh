#!/bin/sh
# Installs TrafficMimic from the folder that this script is in.
set -eu
prefix=/usr/local
units=
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix: give a folder} && shift 2 ;;
    --systemd) units=${2:?--systemd: give a folder} && shift 2 ;;
    *)
      echo "usage: sh install.sh [--prefix /usr/local] [--systemd /etc/systemd/system]" >&2
      [ "$1" = --help ] && exit 0
      exit 2
      ;;
  esac
done
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
from=$(dirname -- "$(readlink -f -- "$0")")
umask 022
# The closest folder that is there has to be one to write to.
there=$prefix
while [ ! -e "$there" ]; do there=$(dirname -- "$there"); done
if [ ! -w "$there" ]; then
  echo "error: $prefix: no permission to install there: run it as root, or give another --prefix" >&2
  exit 1
fi
mkdir -p "$prefix/bin" "$prefix/lib" "$prefix/share"
# The new one is complete before the old one goes.
for part in lib share; do
  rm -rf "$prefix/$part/trafficmimic.new"
  cp -R "$from/$part/trafficmimic" "$prefix/$part/trafficmimic.new"
  rm -rf "$prefix/$part/trafficmimic"
  mv "$prefix/$part/trafficmimic.new" "$prefix/$part/trafficmimic"
done
cp "$from/bin/trafficmimic" "$prefix/bin/trafficmimic.new"
mv "$prefix/bin/trafficmimic.new" "$prefix/bin/trafficmimic"
if [ -n "$units" ]; then
  mkdir -p "$units"
  for unit in "$from"/share/trafficmimic/systemd/*.service; do
    sed "s|/usr/local/bin|$prefix/bin|g" "$unit" > "$units/$(basename "$unit")"
  done
fi
echo "installed: $prefix/bin/trafficmimic"
