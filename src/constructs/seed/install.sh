#!/bin/bash
# Makes this instance (Amazon Linux 2023) the seed of a cluster. Runs as root from user data, at every boot; running it
# again with other arguments replaces program and manifest and restarts the seed.
#
#   install.sh --program S3_URL --native S3_URL --manifest S3_URL --key-secret ARN --address PUBLIC_IP:PORT --port PORT
#     --data-port PORT --region REGION [--standby PUBLIC_IP:PORT --lease-table NAME [--second yes]]
#     [--tls-secret NAME=ARN]…
#
# IMAGINARY_ROOT: where to install, for tests.
set -euo pipefail

tls=
while [ $# -ge 2 ]; do
  case $1 in
    --program) program=$2 ;;
    --native) native=$2 ;;
    --manifest) manifest=$2 ;;
    --key-secret) key_secret=$2 ;;
    --address) address=$2 ;;
    --port) port=$2 ;;
    --data-port) data_port=$2 ;;
    --region) region=$2 ;;
    --standby) standby=$2 ;;
    --lease-table) lease_table=$2 ;;
    --second) second=$2 ;;
    --tls-secret) tls="$tls --tls-secret $2" ;;
    *) echo "install.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
: "${program:?--program is missing}" "${native:?--native is missing}" "${manifest:?--manifest is missing}"
: "${key_secret:?--key-secret is missing}" "${address:?--address is missing}" "${region:?--region is missing}"
: "${port:?--port is missing}" "${data_port:?--data-port is missing}"
lease=
if [ -n "${standby:-}${lease_table:-}" ]; then
  : "${standby:?--standby is missing}" "${lease_table:?--lease-table is missing}"
  lease=" --standby $standby --lease-table $lease_table${second:+ --second}"
fi

root=${IMAGINARY_ROOT:-}
home=/opt/imaginary
node=node-24 # Amazon Linux names its Node.js packages and programs by version
delay=${IMAGINARY_RETRY_DELAY:-5}

# The instance's address changes while it boots (from a temporary one to its fixed one): retry whatever needs the network.
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

# All files first, then all into place: never a new program with an old manifest.
retry aws s3 cp --region "$region" "$program" "$root$home/seed.js.new"
retry aws s3 cp --region "$region" "$native" "$root$home/native.node.new"
retry aws s3 cp --region "$region" "$manifest" "$root$home/manifest.json.new"
for file in seed.js native.node manifest.json; do
  chmod 644 "$root$home/$file.new"
  mv "$root$home/$file.new" "$root$home/$file"
done

cat >"$root/etc/systemd/system/imaginary-seed.service" <<UNIT
[Unit]
Description=Seed of an imaginary cluster
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/$node $home/seed.js --manifest $home/manifest.json --listen 0.0.0.0:$port --data-listen 0.0.0.0:$data_port --address $address --key-secret $key_secret --region $region$lease$tls
ExecReload=/bin/kill -HUP \$MAINPID
Environment=NODE_ENV=production
Restart=always
RestartSec=1
LimitNOFILE=65536
DynamicUser=yes
RuntimeDirectory=imaginary
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable imaginary-seed.service
systemctl restart imaginary-seed.service
