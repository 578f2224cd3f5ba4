#!/usr/bin/env bash
# Prints what a broker's configuration needs for the communities of neighbours.txt.
#   peers.sh PORT BASE CALLBACKS
# PORT: run.sh's --neighbours-port; BASE: the broker's own https://…/services; CALLBACKS: run.sh's --callbacks-port
set -euo pipefail
port=$1 base=$2 callbacks=$3
echo "[asynchronous]"
echo "address = \"$base/initiating-gateway\""
echo "callbacks = [\"https://127.0.0.1:$callbacks/services\"]"
while read -r name home _ _ exchange patient timeout manner; do
    case $name in '' | '#'*) continue ;; esac
    at=$port
    [ "$manner" != stops ] || at=$((port + 1))
    printf '\n[[peer]]\nname = "IPF %s"\nhome_community_id = "%s"\n' "$name" "$home"
    echo "responding_gateway = \"https://127.0.0.1:$at/services/$name\""
    echo "timeout = \"$timeout\""
    [ "$exchange" = synchronous ] || echo "exchange = \"$exchange\""
    [ "$patient" = shared ] || echo 'patient_id = "discover"'
done <"$(dirname "$0")/neighbours.txt"
