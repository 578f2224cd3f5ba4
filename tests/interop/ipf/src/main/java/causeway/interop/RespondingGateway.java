package causeway.interop;

import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti55RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti55ResponseValidator;

import java.util.List;
import org.apache.camel.Exchange;
import org.apache.camel.Processor;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.camel.support.DefaultExchange;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;

/** Neighbouring communities in one process: one of them, or all those of {@code neighbours.txt}. */
public final class RespondingGateway {
    private RespondingGateway() {}

    /**
     * Arguments: --port --patient --cert --key --ca --codes, and either --home --repository [--documents N]
     * [--delay-ms N] or --neighbours FILE. Those of the file that stop are at the next port.
     */
    public static void main(String[] args) throws Exception {
        Arguments arguments = new Arguments(args);
        Identifiable patient = Identifiable.parse(arguments.get("patient"));
        Codes codes = new Codes(arguments.get("codes"));
        String file = arguments.get("neighbours", null);
        List<Neighbour> neighbours = file != null ? Neighbour.read(file)
                : List.of(Neighbour.plain("responding-gateway", arguments.get("home"), arguments.get("repository"),
                        arguments.number("documents", 4), arguments.number("delay-ms", 0)));
        Container container = new Container(arguments);
        if (file != null) {
            container.closeable(arguments.number("port", 0) + 1);
            warmUp(patient);
        }
        arguments.refuseOthers();
        Community[] communities = neighbours.stream().map(about -> new Community(about, codes, patient))
                .toArray(Community[]::new);
        for (Community community : communities) {
            community.share(container);
        }
        container.serve(communities);
    }

    /** The first message takes seconds, in which rules are compiled; the suite measures time. */
    private static void warmUp(Identifiable patient) throws Exception {
        String request = Discovery.request(Discovery.Wanted.of(patient), "2.999.826.9.19", "2.999.826.9.10");
        judge(iti55RequestValidator(), request);
        judge(iti55ResponseValidator(), Discovery.answer(request, patient, "2.999.826.9.10"));
    }

    private static void judge(Processor validator, String message) throws Exception {
        Exchange exchange = new DefaultExchange(new DefaultCamelContext());
        exchange.getIn().setBody(message);
        validator.process(exchange);
    }
}
