#!/usr/bin/env bash
# The judge judged, without a broker: the suite's gateway steps against the IPF gateway directly, then the whole suite
# against a stand-in for the broker, with certificates made for the occasion. Then the stand-in gets things wrong, one
# after the other, and the steps that are there to see it must fail.
#
#   selftest.sh [PORT]    uses PORT and the five after it; default 18470
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=${1:-18470}
neighbour=urn:oid:2.999.826.9.10
patient='9990000093^^^&2.16.840.1.113883.2.1.4.1&ISO'

# codes-used.txt is there to be read and compared with a code file; it must say what codes.properties says
"$here/list-codes.sh" | diff - "$here/codes-used.txt" || { echo "codes-used.txt is out of date" >&2; exit 1; }

"$here/build.sh"
work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Judge authority' \
    -addext 'basicConstraints=critical,CA:TRUE' -keyout ca.key -out ca.pem 2>/dev/null
issue() { # NAME EXTENSION NEWKEY...
    local name=$1 extension=$2
    shift 2
    openssl req -new -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" "$@" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$name.pem" \
        -extfile <(printf '%s\n' "$extension") 2>/dev/null
}
issue server 'subjectAltName=DNS:localhost,IP:127.0.0.1' -newkey ec -pkeyopt ec_paramgen_curve:P-256
issue client 'extendedKeyUsage=clientAuth' -newkey rsa:2048
# PKCS#1 on purpose: both key formats must be readable
openssl rsa -in client.key -traditional -out client.key 2>/dev/null

java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -Djava.io.tmpdir="$work"
    -cp "$here/target/classes:$here/target/lib/*")
start() { # CLASS ARGUMENTS...: returns once it is ready
    local name=$1
    : >"$name.out"
    "${java[@]}" "causeway.interop.$@" --cert server.pem --key server.key --ca ca.pem \
        --codes "$here/codes.properties" >"$name.out" 2>"$here/target/$name.log" &
    pids+=($!)
    for _ in $(seq 600); do
        if grep -q '^READY ' "$name.out"; then return; fi
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.2
    done
    echo "$name did not start, see $here/target/$name.log" >&2
    exit 1
}
stop() { # the last that was started
    kill "${pids[-1]}"
    wait "${pids[-1]}" 2>/dev/null || true
    unset 'pids[-1]'
}
credentials=(--cert client.pem --key client.key --ca ca.pem)
code=0

echo "# the gateway, asked directly"
start RespondingGateway --port "$port" --home "$neighbour" --repository 2.999.826.9.10.1 --patient "$patient"
"$here/run.sh" --gateway off --only gateway --base "https://127.0.0.1:$port/services" --home "$neighbour" \
    --repository 2.999.826.9.10.1 --patient "$patient" "${credentials[@]}" || code=1

standin=(--home urn:oid:2.999.826.9.20 --repository 2.999.826.9.20.1)
echo "# a stand-in for the broker, with the gateway as its neighbour"
start StandIn --port $((port + 1)) "${standin[@]}" \
    --peer-home "$neighbour" --peers-base "https://127.0.0.1:$((port + 2))/services"
"$here/run.sh" --gateway-port $((port + 2)) --gateway-home "$neighbour" --gateway-repository 2.999.826.9.10.1 \
    --gateway-patient "$patient" --base "https://127.0.0.1:$((port + 1))/services" "${standin[@]}" \
    "${credentials[@]}" || code=1
stop

neighbours() { # FAULTS: the suite with the communities of neighbours.txt around a stand-in that gets these things wrong
    start StandIn --port $((port + 1)) "${standin[@]}" --faults "$1" --neighbours "$here/neighbours.txt" \
        --peers-base "https://127.0.0.1:$((port + 3))/services" --callbacks "https://127.0.0.1:$((port + 5))/services"
    local outcome=0
    "$here/run.sh" --gateway neighbours --neighbours-port $((port + 3)) --callbacks-port $((port + 5)) \
        --gateway-patient "$patient" --base "https://127.0.0.1:$((port + 1))/services" "${standin[@]}" \
        "${credentials[@]}" || outcome=$?
    stop
    return $outcome
}
echo "# a stand-in for the broker, with many neighbours"
neighbours '' || code=1

# what it gets wrong, and a step that must fail for each
while read -r faults steps; do
    echo "# a stand-in that gets it wrong: $faults"
    neighbours "$faults" >faulty.out || true
    for step in $steps; do
        if grep -q "^FAIL $step " faulty.out; then
            echo "ok seen by $step"
        else
            echo "FAIL $step does not see it"
            code=1
        fi
    done
done <<'END'
unnamed,altered,undiscovered,anywhere,welcoming neighbours-iti18-who-is-missing-is-named one-gone-iti43-from-all-at-once late-iti18-is-named-in-time faulting-asynchronous-iti18-is-named-in-time synchronous-iti43-retrieve asynchronous-iti43-retrieve neighbours-iti18-all-others-answers asynchronous-unlisted-address-is-refused iti55-nobody-is-found iti55-another-birth-date-is-somebody-else asynchronous-iti55-nobody-is-found
patient,connected neighbours-iti18-in-time late-iti18-is-named-in-time asynchronous-iti18-get-documents asynchronous-iti43-retrieve neighbours-iti18-all-others-answers
END
exit "$code"
