#!/usr/bin/env bash
# Sees to it that the guest programs which the demo and the tests run are there: real, unmodified Debian programs.
#
#   scripts/guests.sh [demo|test] [--check] [--require]
#
#   demo        only what `npm run demo` needs
#   test        what the tests need too (default)
#   --check     install nothing, only say what is missing
#   --require   exit 1 when something is still missing (default: say which tests that blocks, and exit 0)
#
# Installs what is missing with apt-get, as root or by passwordless sudo. No service is started by the installation.
set -euo pipefail

set_name=test check=false require=false
for argument in "$@"; do
  case "$argument" in
    demo | test) set_name=$argument ;;
    --check) check=true ;;
    --require) require=true ;;
    *)
      sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
done

# program : Debian package : what needs it. Sandboxes have Lambda's search path, so only these folders count.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
table='
/usr/sbin/nginx        : nginx         : demo, test/suites/guests (nginx, wrk)
/usr/bin/redis-server  : redis-server  : demo, test/e2e (redis, life cycle)
/usr/bin/python3       : python3       : demo, test/e2e (nearly all)
/usr/lib/postgresql/*/bin/postgres : postgresql : demo, test/e2e (pool), test/suites/guests (postgres)
curl                   : curl          : demo, test/e2e (nearly all)
getent                 : libc-bin      : demo
'
if [ "$set_name" = test ]; then
  table+='
redis-cli              : redis-tools   : test/e2e (redis, life cycle, strace)
wrk                    : wrk           : test/suites/guests (wrk)
memcached              : memcached     : test/suites/guests (memcached)
memcslap               : libmemcached-tools : test/suites/guests (memcached)
javac                  : default-jdk-headless : test/suites/guests (java, zookeeper)
/usr/share/java/zookeeper.jar : libzookeeper-java : test/suites/guests (zookeeper)
/usr/sbin/haproxy      : haproxy       : test/suites/guests (haproxy)
iperf3                 : iperf3        : test/suites/guests (iperf3)
/usr/lib/rabbitmq/bin/rabbitmq-server : rabbitmq-server : test/suites/guests (rabbitmq)
erl                    : erlang-base   : test/suites/guests (erlang)
chromium-headless-shell : chromium-headless-shell : test/e2e (demo)
strace                 : strace        : test/e2e (strace)
/usr/bin/dig           : bind9-dnsutils : test/e2e (resolver, ingress)
/usr/sbin/dnsmasq      : dnsmasq-base  : test/e2e (ingress)
nft                    : nftables      : test/local, test/e2e (network nat)
gcc                    : gcc           : test/shim (sanitizers)
/usr/include/stdio.h   : libc6-dev     : test/shim (sanitizers)
/usr/include/liburing.h : liburing-dev : test/shim (io_uring)
valgrind               : valgrind      : test/shim (sanitizers)
clang                  : clang         : test/shim (fuzz)
/usr/share/doc/libclang-rt-dev : libclang-rt-dev : test/shim (fuzz)
cmake                  : cmake         : test/e2e (aws-lambda-ric)
g++                    : g++           : test/e2e (aws-lambda-ric)
make                   : make          : test/e2e (aws-lambda-ric)
xz                     : xz-utils      : test/e2e (aws-lambda-ric)
'
  table+="
/lib/ld-musl-$(uname -m).so.1 : musl : test/shim (musl)
"
  # The other architecture's shim runs where this one is emulated.
  [ "$(uname -m)" != x86_64 ] || table+='
qemu-aarch64-static    : qemu-user-static : test/shim (arm64)
/usr/aarch64-linux-gnu/lib/libc.so.6 : libc6-arm64-cross : test/shim (arm64)
'
  python=python$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 3.11)
  table+="/usr/lib/$python/test/test_socket.py : lib$python-testsuite : test:conformance (CPython)
"
fi

# A path may be a pattern: some packages have their version in it.
present() { case "$1" in /*) compgen -G "$1" >/dev/null ;; *) command -v "$1" >/dev/null ;; esac }
missing_rows() {
  while IFS=: read -r program package needed; do
    program=${program// /} package=${package// /}
    [ -z "$program" ] || present "$program" || echo "$program:$package:${needed# }"
  done <<<"$table"
}
say() { echo "guests: $*" >&2; }

rows=$(missing_rows)
[ -n "$rows" ] || exit 0
packages=$(cut -d: -f2 <<<"$rows" | sort -u | tr '\n' ' ')

as_root=()
may_install=false
if ! $check && command -v apt-get >/dev/null; then
  if [ "$(id -u)" = 0 ]; then
    may_install=true
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    may_install=true as_root=(sudo -n)
  fi
fi

if $may_install; then
  say "installing $packages"
  # invoke-rc.d asks this script before it starts a service: 101 forbids it. A file of the machine's own is left alone.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
  fi
  log=$(mktemp)
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
  # shellcheck disable=SC2086
  if "${apt[@]}" update >"$log" 2>&1 && "${apt[@]}" install -y --no-install-recommends $packages >>"$log" 2>&1; then
    rm -f "$log"
  else
    tail -n 15 "$log" >&2
    say "apt-get failed; its whole output is in $log"
  fi
  rows=$(missing_rows)
fi

[ -n "$rows" ] || exit 0
say "missing, with what they block:"
while IFS=: read -r program package needed; do
  printf '  %-22s package %-14s %s\n' "$program" "$package" "$needed" >&2
done <<<"$rows"
say "install them: sudo apt-get update && sudo apt-get install $(cut -d: -f2 <<<"$rows" | sort -u | tr '\n' ' ')"
if $require; then exit 1; fi
