#!/usr/bin/env bash
# Foreign judges: Python zeep and Open eHealth IPF against a real broker, over mutual TLS.
#   tests/interop/run.sh path/to/causeway [zeep|ipf]
set -euo pipefail
binary=$(realpath "$1")
which=${2:-all}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# Makes a broker at a port and waits until it is ready. What is in NAME.more goes to the end of its configuration.
broker() { # NAME PORT ADMIN [init options…]
    local name=$1 port=$2 admin=$3
    shift 3
    "$binary" init "$work/$name" --bind "127.0.0.1:$port" --admin "127.0.0.1:$admin" "$@" >"$work/$name.init"
    # the judges' certificate is an administrator's, may ask about many patients, and provide from elsewhere
    sed -i -e 's/^# administrators = .*/administrators = ["Causeway development client"]/' \
        -e 's/^# many_patients = .*/many_patients = ["Causeway development client"]/' \
        -e 's/^# providers = .*/providers = ["Causeway development client"]/' "$work/$name/causeway.toml"
    if [ -e "$work/$name.more" ]; then
        cat "$work/$name.more" >>"$work/$name/causeway.toml"
        sed -i 's/^\[patients\]/&\ndirectory = "people.jsonl"/' "$work/$name/causeway.toml"
        cp "$here/ipf/people.jsonl" "$work/$name/"
    fi
    "$binary" serve --config "$work/$name/causeway.toml" 2>"$work/$name.log" &
    pids+=($!)
    for _ in $(seq 100); do
        curl -fs "http://127.0.0.1:$admin/readyz" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "the broker $name did not become ready:"
    tail -20 "$work/$name.log"
    return 1
}

value() { # NAME KEY
    sed -n "s/^$2 = \"\(.*\)\"/\1/p" "$work/$1/causeway.toml" | head -1
}

arguments() { # NAME PORT
    echo --base "https://127.0.0.1:$2/services" \
        --cert "$work/$1/certs/client.pem" --key "$work/$1/certs/client.key" --ca "$work/$1/certs/ca.pem" \
        --home "$(value "$1" home_community_id)" --repository "$(value "$1" repository_unique_id)"
}

status=0
if [ "$which" != ipf ]; then
    echo "== zeep"
    broker zeep 18451 18452
    # shellcheck disable=SC2046
    bash "$here/zeep/run.sh" $(arguments zeep 18451) --patient '9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO' || status=1
fi
if [ "$which" != zeep ]; then
    echo "== IPF"
    broker ipf 18453 18454 --peer 'IPF=urn:oid:2.999.826.9.10=https://127.0.0.1:18447/services/responding-gateway'
    # shellcheck disable=SC2046
    bash "$here/ipf/run.sh" $(arguments ipf 18453) --administrator on --provider on || status=1
    echo "== IPF as many communities"
    "$here/ipf/peers.sh" 18457 https://127.0.0.1:18455/services 18459 >"$work/neighbours.more"
    broker neighbours 18455 18456
    # shellcheck disable=SC2046
    bash "$here/ipf/run.sh" $(arguments neighbours 18455) --gateway neighbours || status=1
fi
exit $status
