#!/usr/bin/env bash
# Runs the suite against a broker, with IPF Responding Gateways beside it as other communities.
#
#   run.sh --base https://127.0.0.1:8443/services --home urn:oid:… --repository OID \
#          --cert client.pem --key client.key --ca ca.pem [options of this script] [options of Suite]
#
# Options of this script (the broker must have the gateways as peers, so these must agree with its configuration):
#   --gateway-port PORT    default 18447; its address is https://127.0.0.1:PORT/services/responding-gateway
#   --gateway-cert FILE, --gateway-key FILE   its server certificate (for localhost or 127.0.0.1) of the same authority;
#                          default: server.pem and server.key beside the client's certificate
#   --gateway-home URN, --gateway-repository OID   default urn:oid:2.999.826.9.10 and 2.999.826.9.10.1
#   --gateway-patient CX   default '9990000093^^^&2.16.840.1.113883.2.1.4.1&ISO'; the suite's patient too
#   --gateway-documents N  default 4
#   --gateway-delay-ms N   default 0
#   --gateway off          no second community, no federated steps
#   --gateway neighbours   the communities of neighbours.txt instead, and the steps about them; the broker needs what
#                          peers.sh prints
#   --neighbours-port PORT default 18457, and the one after it for those that stop
#   --callbacks-port PORT  default 18459; where the suite takes answers that do not come back on their connection
# Everything else goes to Suite as it is. Exit code 0 only if every step passed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

gateway=on port=18447 gcert='' gkey='' ghome=urn:oid:2.999.826.9.10 grepo=2.999.826.9.10.1
gpatient='9990000093^^^&2.16.840.1.113883.2.1.4.1&ISO' gdocuments=4 gdelay=0
nport=18457 callbacks=18459
cert='' ca='' codes=$here/codes.properties
suite=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || { echo "expected --name value, found $1" >&2; exit 2; }
    case $1 in
        --gateway) gateway=$2 ;;
        --gateway-port) port=$2 ;;
        --gateway-cert) gcert=$2 ;;
        --gateway-key) gkey=$2 ;;
        --gateway-home) ghome=$2 ;;
        --gateway-repository) grepo=$2 ;;
        --gateway-patient) gpatient=$2 ;;
        --gateway-documents) gdocuments=$2 ;;
        --gateway-delay-ms) gdelay=$2 ;;
        --neighbours-port) nport=$2 ;;
        --callbacks-port) callbacks=$2 ;;
        --codes) codes=$2 ;;
        --cert) cert=$2; suite+=("$1" "$2") ;;
        --key) suite+=("$1" "$2") ;;
        --ca) ca=$2; suite+=("$1" "$2") ;;
        *) suite+=("$1" "$2") ;;
    esac
    shift 2
done
suite+=(--codes "$codes")
[ -n "$cert" ] && [ -n "$ca" ] || { echo "--cert, --key and --ca are needed" >&2; exit 2; }
gcert=${gcert:-$(dirname "$cert")/server.pem}
gkey=${gkey:-$(dirname "$cert")/server.key}

"$here/build.sh"
classpath="$here/target/classes:$here/target/lib/*"
# serial collector and first-tier compiler: two short-lived programs on a busy machine
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -cp "$classpath")

pid=''
work=$(mktemp -d)
cleanup() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

communities=()
case $gateway in
    on)
        communities=(--port "$port" --home "$ghome" --repository "$grepo" --documents "$gdocuments" --delay-ms "$gdelay")
        suite+=(--federated-home "$ghome" --federated-repository "$grepo" --federated-patient "$gpatient"
            --documents "$gdocuments")
        ;;
    neighbours)
        communities=(--port "$nport" --neighbours "$here/neighbours.txt")
        suite+=(--only neighbours --patient "$gpatient" --neighbours "$here/neighbours.txt"
            --neighbours-base "https://127.0.0.1:$nport" --callbacks "$callbacks"
            --callbacks-cert "$gcert" --callbacks-key "$gkey")
        ;;
    off) ;;
    *) echo "--gateway is on, off or neighbours" >&2; exit 2 ;;
esac
if [ ${#communities[@]} -gt 0 ]; then
    : >"$work/gateway.out"
    TMPDIR=$work "${java[@]}" -Djava.io.tmpdir="$work" causeway.interop.RespondingGateway "${communities[@]}" \
        --patient "$gpatient" --cert "$gcert" --key "$gkey" --ca "$ca" --codes "$codes" \
        >"$work/gateway.out" 2>"$here/target/gateway.log" &
    pid=$!
    for _ in $(seq 600); do
        grep -q '^READY ' "$work/gateway.out" && break
        kill -0 "$pid" 2>/dev/null || { echo "the gateway ended, see $here/target/gateway.log" >&2; pid=''; exit 1; }
        sleep 0.2
    done
    grep -q '^READY ' "$work/gateway.out" || { echo "the gateway was not ready within two minutes" >&2; exit 1; }
fi

code=0
"${java[@]}" -Djava.io.tmpdir="$work" causeway.interop.Suite "${suite[@]}" 2>"$here/target/suite.log" || code=$?
exit "$code"
