package causeway.interop;

import java.net.URI;
import java.util.Map;
import java.util.function.UnaryOperator;
import javax.net.ssl.SSLContext;
import javax.xml.datatype.Duration;
import org.apache.camel.CamelContext;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import org.apache.camel.Message;
import org.apache.camel.Processor;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.camel.support.DefaultExchange;
import org.apache.camel.support.jsse.SSLContextParameters;
import org.apache.cxf.transports.http.configuration.HTTPClientPolicy;
import org.openehealth.ipf.commons.ihe.xds.core.requests.ProvideAndRegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators;
import org.openehealth.ipf.platform.camel.ihe.hl7v3.iti55.TtlHeaderUtils;
import org.openehealth.ipf.platform.camel.ihe.ws.AbstractWsEndpoint;
import org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators;

/** IPF's client side of the transactions; every answer goes through IPF's own validator before it is handed on. */
final class Client implements AutoCloseable {
    /** A transaction as IPF names it, with its two judges. */
    enum Transaction {
        ITI_18("xds-iti18", XdsCamelValidators.iti18RequestValidator(), XdsCamelValidators.iti18ResponseValidator()),
        /** Merged from communities that each know the patient by an id of their own: what IPF has no rule for. */
        ITI_18_MERGED("xds-iti18", XdsCamelValidators.iti18RequestValidator(),
                XdsCamelValidators.iti51ResponseValidator()),
        ITI_38("xca-iti38", XdsCamelValidators.iti38RequestValidator(), XdsCamelValidators.iti38ResponseValidator()),
        ITI_39("xca-iti39", XdsCamelValidators.iti39RequestValidator(), XdsCamelValidators.iti39ResponseValidator()),
        ITI_41("xds-iti41", XdsCamelValidators.iti41RequestValidator(), XdsCamelValidators.iti41ResponseValidator()),
        ITI_43("xds-iti43", XdsCamelValidators.iti43RequestValidator(), XdsCamelValidators.iti43ResponseValidator()),
        ITI_51("xds-iti51", XdsCamelValidators.iti51RequestValidator(), XdsCamelValidators.iti51ResponseValidator()),
        ITI_55("xcpd-iti55", PixPdqV3CamelValidators.iti55RequestValidator(),
                PixPdqV3CamelValidators.iti55ResponseValidator()),
        ITI_56("xcpd-iti56", PixPdqV3CamelValidators.iti56RequestValidator(),
                PixPdqV3CamelValidators.iti56ResponseValidator()),
        ITI_57("xds-iti57", XdsCamelValidators.iti57RequestValidator(), XdsCamelValidators.iti57ResponseValidator()),
        ITI_61("xds-iti61", XdsCamelValidators.iti61RequestValidator(), XdsCamelValidators.iti61ResponseValidator()),
        ITI_62("rmd-iti62", XdsCamelValidators.iti62RequestValidator(), XdsCamelValidators.iti62ResponseValidator()),
        ITI_63("xcf-iti63", XdsCamelValidators.iti63RequestValidator(), XdsCamelValidators.iti63ResponseValidator()),
        ITI_80("xcdr-iti80", XdsCamelValidators.iti80RequestValidator(), XdsCamelValidators.iti80ResponseValidator()),
        ITI_86("rmd-iti86", XdsCamelValidators.iti86RequestValidator(), XdsCamelValidators.iti86ResponseValidator()),
        ITI_92("rmu-iti92", XdsCamelValidators.iti92RequestValidator(), XdsCamelValidators.iti92ResponseValidator());

        private final String scheme;
        private final Processor request;
        private final Processor response;

        Transaction(String scheme, Processor request, Processor response) {
            this.scheme = scheme;
            this.request = request;
            this.response = response;
        }

        String scheme() {
            return scheme;
        }

        /** Whether answers to it may come to an address of their own. */
        boolean asynchronous() {
            return this == ITI_38 || this == ITI_39 || this == ITI_55 || this == ITI_56;
        }
    }

    private final DefaultCamelContext camel;
    private final ProducerTemplate producer;
    private final String address;
    private final int timeoutSeconds;
    /** Where answers arrive; null: on the connection. */
    private final Callbacks callbacks;
    private final UnaryOperator<String> replyTo;
    private Message last;

    Client(String base, SSLContext tls, int timeoutSeconds) {
        this(new DefaultCamelContext(), address(base), timeoutSeconds, null, UnaryOperator.identity());
        HTTPClientPolicy policy = new HTTPClientPolicy();
        policy.setConnectionTimeout(timeoutSeconds * 1000L);
        policy.setReceiveTimeout(timeoutSeconds * 1000L);
        camel.getRegistry().bind("policy", policy);
        camel.getRegistry().bind("tls", new SSLContextParameters() {
            @Override
            public SSLContext createSSLContext(CamelContext context) {
                return tls;
            }
        });
        // SOAP 1.2 sends a fault of the sender's making with 400, which CXF does not read otherwise
        camel.getRegistry().bind("properties", Map.of("org.apache.cxf.transport.process_fault_on_http_400", true));
        camel.start();
    }

    private Client(DefaultCamelContext camel, String address, int timeoutSeconds, Callbacks callbacks,
            UnaryOperator<String> replyTo) {
        this.camel = camel;
        this.address = address;
        this.timeoutSeconds = timeoutSeconds;
        this.callbacks = callbacks;
        this.replyTo = replyTo;
        producer = camel.createProducerTemplate();
    }

    private static String address(String base) {
        URI uri = URI.create(base);
        return uri.getAuthority() + uri.getPath();
    }

    /** The same client, to another broker. */
    Client to(String base) {
        return new Client(camel, address(base), timeoutSeconds, callbacks, replyTo);
    }

    /** The same client, whose answers come to addresses of their own; these are asked for as {@code replyTo} says. */
    Client asynchronous(Callbacks callbacks, UnaryOperator<String> replyTo) {
        camel.getRegistry().bind("correlator", callbacks);
        return new Client(camel, address, timeoutSeconds, callbacks, replyTo);
    }

    Response submit(String path, ProvideAndRegisterDocumentSet request) throws Exception {
        return call(Transaction.ITI_41, path, request, true, Response.class);
    }

    /** A submission that IPF itself would refuse to send: for what the broker must refuse. */
    Response submitUnjudged(String path, ProvideAndRegisterDocumentSet request) throws Exception {
        return call(Transaction.ITI_41, path, request, false, Response.class);
    }

    QueryResponse query(Transaction transaction, String path, QueryRegistry request) throws Exception {
        return call(transaction, path, request, true, QueryResponse.class);
    }

    QueryResponse queryUnjudged(Transaction transaction, String path, QueryRegistry request) throws Exception {
        return call(transaction, path, request, false, QueryResponse.class);
    }

    RetrievedDocumentSet retrieve(Transaction transaction, String path, RetrieveDocumentSet request) throws Exception {
        return call(transaction, path, request, true, RetrievedDocumentSet.class);
    }

    /** ITI-55: request and answer as text. */
    String discover(String path, String request) throws Exception {
        return call(Transaction.ITI_55, path, request, true, String.class);
    }

    /** ITI-56, likewise. */
    String locate(String path, String request) throws Exception {
        return call(Transaction.ITI_56, path, request, true, String.class);
    }

    /** Registers, updates or removes what is named in the request. */
    Response change(Transaction transaction, String path, Object request) throws Exception {
        return call(transaction, path, request, true, Response.class);
    }

    /** Of the last answer; empty if it had none. */
    String contentType() {
        Map<?, ?> headers = last.getHeader(AbstractWsEndpoint.INCOMING_HTTP_HEADERS, Map.of(), Map.class);
        for (Map.Entry<?, ?> header : headers.entrySet()) {
            if ("content-type".equalsIgnoreCase(String.valueOf(header.getKey()))) {
                return String.valueOf(header.getValue());
            }
        }
        return "";
    }

    /** How long the last answer lets us keep the patient's identifier; null if it does not say. */
    Duration timeToLive() {
        return TtlHeaderUtils.getTtl(last);
    }

    private <R> R call(Transaction transaction, String path, Object request, boolean judged, Class<R> type)
            throws Exception {
        String endpoint = transaction.scheme + "://" + address + path
                + "?audit=false&sslContextParameters=#tls&httpClientPolicy=#policy&properties=#properties";
        Exchange sent = new DefaultExchange(camel, ExchangePattern.InOut);
        sent.getIn().setBody(request);
        if (judged) {
            transaction.request.process(sent);
        }
        String key = null;
        if (callbacks != null && transaction.asynchronous()) {
            endpoint += "&correlator=#correlator";
            key = callbacks.expect();
            sent.getIn().setHeader(AbstractWsEndpoint.CORRELATION_KEY_HEADER_NAME, key);
            sent.getIn().setHeader(AbstractWsEndpoint.WSA_REPLYTO_HEADER_NAME,
                    replyTo.apply(callbacks.address(transaction)));
        }
        Exchange received = producer.send(endpoint, sent);
        if (received.getException() != null) {
            throw received.getException();
        }
        last = key == null ? received.getMessage() : callbacks.await(key, timeoutSeconds).getIn();
        // the validators read the In message
        Exchange answer = new DefaultExchange(camel);
        answer.getIn().setBody(last.getBody());
        try {
            transaction.response.process(answer);
        } catch (Exception verdict) {
            throw new Failed("IPF's " + transaction + " response validator: " + verdict.getMessage(), verdict);
        }
        return answer.getIn().getMandatoryBody(type);
    }

    @Override
    public void close() {
        camel.stop();
    }
}
