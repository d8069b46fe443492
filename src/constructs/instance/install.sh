#!/bin/bash
# Makes this machine (Amazon Linux 2023) a host instance of a cluster: a systemd unit that runs `imaginary join`. Runs as
# root from user data; running it again with other arguments replaces program and unit and restarts the host.
#
#   install.sh --cli S3_URL --supervisor-x86_64 S3_URL --supervisor-arm64 S3_URL --shim-x86_64 S3_URL --shim-arm64 S3_URL
#     --version VERSION --name HOST --seed ADDRESS:PORT [--standby ADDRESS:PORT] --key ARN --region REGION --user USER
#     --stop SECONDS [--wait N|NAMES --wait-timeout SECONDS]
#
# IMAGINARY_ROOT: where to install, for tests.
set -euo pipefail

declare -A given
while [ $# -ge 2 ]; do
  case $1 in
    --cli | --supervisor-x86_64 | --supervisor-arm64 | --shim-x86_64 | --shim-arm64 | --version | --name | --seed | \
      --standby | --key | --region | --user | --stop | --wait | --wait-timeout) given[${1#--}]=$2 ;;
    *) echo "install.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
for name in cli supervisor-x86_64 supervisor-arm64 shim-x86_64 shim-arm64 version name seed key region user stop; do
  [ -n "${given[$name]:-}" ] || { echo "install.sh: --$name is missing" >&2; exit 2; }
done

root=${IMAGINARY_ROOT:-}
home=/opt/imaginary
node=node-24 # Amazon Linux names its Node.js packages and programs by version
delay=${IMAGINARY_RETRY_DELAY:-5}
arch=${IMAGINARY_ARCH:-$(uname -m)}
[ "$arch" = aarch64 ] && arch=arm64

# A machine that boots has no network yet: retry whatever needs it.
retry() {
  local attempt
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    "$@" && return
    echo "install.sh: attempt $attempt of 10 failed: $*" >&2
    sleep "$delay"
  done
  return 1
}

mkdir -p "$root$home" "$root/etc/systemd/system"
command -v "$node" >/dev/null || retry dnf install -y nodejs24

# As in the package; all files first, then all into place.
new=$root$home/new
rm -rf "$new"
mkdir -p "$new"
unpack() {
  retry aws s3 cp --region "${given[region]}" "$1" "$new.zip"
  mkdir -p "$2"
  python3 -m zipfile -e "$new.zip" "$2"
  rm "$new.zip"
}
unpack "${given[cli]}" "$new/assets/cli"
unpack "${given[supervisor-$arch]}" "$new/lambda-layers/supervisor/$arch"
unpack "${given[shim-$arch]}" "$new/lambda-layers/shim/$arch"
echo "{\"version\":\"${given[version]}\"}" >"$new/package.json"
chmod -R a+rX "$new"
rm -rf "$root$home/program"
mv "$new" "$root$home/program"

unit=imaginary-${given[name]}
wait=
[ -z "${given[wait]:-}" ] || wait=" --wait ${given[wait]}"
[ -z "${given[wait-timeout]:-}" ] || wait="$wait --wait-timeout ${given[wait-timeout]}"
cat >"$root/etc/systemd/system/$unit.service" <<UNIT
[Unit]
Description=Host ${given[name]} of an imaginary cluster
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/$node $home/program/assets/cli/imaginary.js join --seed ${given[seed]}${given[standby]:+ --standby ${given[standby]}} --key ${given[key]} --name ${given[name]} --run-dir /run/$unit/host$wait
Environment=NODE_ENV=production AWS_REGION=${given[region]}
User=${given[user]}
RuntimeDirectory=$unit
KillMode=mixed
TimeoutStopSec=${given[stop]}
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable "$unit.service"
systemctl restart "$unit.service"
