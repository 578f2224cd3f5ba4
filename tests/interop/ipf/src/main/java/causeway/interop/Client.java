package causeway.interop;

import java.net.URI;
import java.util.Map;
import javax.net.ssl.SSLContext;
import org.apache.camel.CamelContext;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
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
import org.openehealth.ipf.platform.camel.ihe.ws.AbstractWsEndpoint;
import org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators;

/** IPF's client side of the transactions; every answer goes through IPF's own validator before it is handed on. */
final class Client implements AutoCloseable {
    /** A transaction as IPF names it, with its two judges. */
    enum Transaction {
        ITI_18("xds-iti18", XdsCamelValidators.iti18RequestValidator(), XdsCamelValidators.iti18ResponseValidator()),
        ITI_38("xca-iti38", XdsCamelValidators.iti38RequestValidator(), XdsCamelValidators.iti38ResponseValidator()),
        ITI_39("xca-iti39", XdsCamelValidators.iti39RequestValidator(), XdsCamelValidators.iti39ResponseValidator()),
        ITI_41("xds-iti41", XdsCamelValidators.iti41RequestValidator(), XdsCamelValidators.iti41ResponseValidator()),
        ITI_43("xds-iti43", XdsCamelValidators.iti43RequestValidator(), XdsCamelValidators.iti43ResponseValidator()),
        ITI_51("xds-iti51", XdsCamelValidators.iti51RequestValidator(), XdsCamelValidators.iti51ResponseValidator()),
        ITI_57("xds-iti57", XdsCamelValidators.iti57RequestValidator(), XdsCamelValidators.iti57ResponseValidator()),
        ITI_61("xds-iti61", XdsCamelValidators.iti61RequestValidator(), XdsCamelValidators.iti61ResponseValidator()),
        ITI_62("rmd-iti62", XdsCamelValidators.iti62RequestValidator(), XdsCamelValidators.iti62ResponseValidator()),
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
    }

    private final DefaultCamelContext camel = new DefaultCamelContext();
    private final ProducerTemplate producer;
    private final String address;
    private Map<?, ?> httpHeaders = Map.of();

    Client(String base, SSLContext tls, int timeoutSeconds) {
        URI uri = URI.create(base);
        address = uri.getAuthority() + uri.getPath();
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
        camel.start();
        producer = camel.createProducerTemplate();
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

    /** Registers, updates or removes what is named in the request. */
    Response change(Transaction transaction, String path, Object request) throws Exception {
        return call(transaction, path, request, true, Response.class);
    }

    /** Of the last answer; empty if it had none. */
    String contentType() {
        for (Map.Entry<?, ?> header : httpHeaders.entrySet()) {
            if ("content-type".equalsIgnoreCase(String.valueOf(header.getKey()))) {
                return String.valueOf(header.getValue());
            }
        }
        return "";
    }

    private <R> R call(Transaction transaction, String path, Object request, boolean judged, Class<R> type)
            throws Exception {
        String endpoint = transaction.scheme + "://" + address + path
                + "?audit=false&sslContextParameters=#tls&httpClientPolicy=#policy";
        Exchange sent = new DefaultExchange(camel, ExchangePattern.InOut);
        sent.getIn().setBody(request);
        if (judged) {
            transaction.request.process(sent);
        }
        Exchange received = producer.send(endpoint, sent);
        if (received.getException() != null) {
            throw received.getException();
        }
        httpHeaders = received.getMessage().getHeader(AbstractWsEndpoint.INCOMING_HTTP_HEADERS, Map.of(), Map.class);
        // the validators read the In message
        Exchange answer = new DefaultExchange(camel);
        answer.getIn().setBody(received.getMessage().getBody());
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
