package causeway.interop;

import jakarta.activation.DataHandler;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.xml.stream.XMLStreamReader;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.support.DefaultExchange;
import org.apache.cxf.binding.soap.SoapMessage;
import org.apache.cxf.binding.soap.interceptor.CheckFaultInterceptor;
import org.apache.cxf.jaxws.context.WebServiceContextImpl;
import org.apache.cxf.phase.AbstractPhaseInterceptor;
import org.apache.cxf.phase.Phase;
import org.apache.cxf.ws.addressing.AddressingProperties;
import org.apache.cxf.ws.addressing.ContextUtils;
import org.apache.cxf.ws.addressing.JAXWSAConstants;
import org.openehealth.ipf.commons.ihe.ws.correlation.AsynchronyCorrelator;
import org.openehealth.ipf.commons.ihe.ws.cxf.audit.WsAuditDataset;
import org.openehealth.ipf.commons.ihe.xds.core.ebxml.ebxml30.RetrieveDocumentSetResponseType;
import org.openehealth.ipf.platform.camel.ihe.ws.AbstractWsEndpoint;

/** Where answers arrive that do not come back on their connection: IPF's receivers, and who waits for what. */
final class Callbacks extends RouteBuilder implements AsynchronyCorrelator<WsAuditDataset> {
    private static final String ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous";
    private static final String RECEIVER = "-async-response";

    private final String base;
    /** By message id: the key that we gave IPF for it. */
    private final Map<String, String> keys = new ConcurrentHashMap<>();
    private final Map<String, CompletableFuture<Exchange>> waiting = new ConcurrentHashMap<>();

    /** Those of a container at a port. */
    Callbacks(Container container, int port) {
        base = "https://127.0.0.1:" + port + "/services/";
        container.bind("correlator", this);
        container.bind("faults", new Faults());
    }

    /** Where the request that is being answered in this thread wants its answer; null: on its connection. */
    static String replyTo() {
        var context = new WebServiceContextImpl().getMessageContext();
        var addressing = (AddressingProperties) context.get(JAXWSAConstants.ADDRESSING_PROPERTIES_INBOUND);
        if (addressing == null || addressing.getReplyTo() == null || addressing.getReplyTo().getAddress() == null) {
            return null;
        }
        String address = addressing.getReplyTo().getAddress().getValue();
        return ANONYMOUS.equals(address) ? null : address;
    }

    String address(Client.Transaction transaction) {
        return base + transaction.scheme() + RECEIVER;
    }

    @Override
    public void configure() {
        for (Client.Transaction transaction : Client.Transaction.values()) {
            if (transaction.asynchronous()) {
                String receiver = transaction.scheme() + RECEIVER;
                from(receiver + "://" + receiver + "?audit=false&correlator=#correlator&inInterceptors=#faults").process(this::received);
            }
        }
    }

    /** A key under which an answer will be waited for. */
    String expect() {
        String key = UUID.randomUUID().toString();
        waiting.put(key, new CompletableFuture<>());
        return key;
    }

    /** The answer, with its headers. */
    Exchange await(String key, int seconds) throws Exception {
        try {
            return waiting.get(key).get(seconds, TimeUnit.SECONDS);
        } catch (ExecutionException fault) {
            throw new Failed(fault.getCause().getMessage(), fault);
        } catch (TimeoutException none) {
            throw new Failed("no answer came to our address within " + seconds + " s", none);
        } finally {
            waiting.remove(key);
        }
    }

    private void received(Exchange exchange) throws Exception {
        if (exchange.getIn().getBody() instanceof RetrieveDocumentSetResponseType response) {
            // documents are read from the connection, which ends with this call
            for (var document : response.getDocumentResponse()) {
                DataHandler handler = document.getDocument();
                document.setDocument(Samples.handler(handler.getInputStream().readAllBytes(),
                        handler.getContentType()));
            }
        }
        Object key = exchange.getIn().getHeader(AbstractWsEndpoint.CORRELATION_KEY_HEADER_NAME);
        CompletableFuture<Exchange> who = key == null ? null : waiting.get(key);
        if (who == null) {
            throw new IllegalStateException("an answer that nobody waits for");
        }
        Exchange kept = new DefaultExchange(exchange.getContext());
        kept.getIn().setBody(exchange.getIn().getBody());
        kept.getIn().getHeaders().putAll(exchange.getIn().getHeaders());
        who.complete(kept);
    }

    /** IPF's receivers know no faults; whoever waits for the answer should know of one. */
    private final class Faults extends AbstractPhaseInterceptor<SoapMessage> {
        Faults() {
            super(Phase.POST_PROTOCOL);
            addBefore(CheckFaultInterceptor.class.getName());
        }

        @Override
        public void handleMessage(SoapMessage message) {
            XMLStreamReader body = message.getContent(XMLStreamReader.class);
            AddressingProperties addressing = ContextUtils.retrieveMAPs(message, false, false);
            if (body == null || !body.isStartElement() || !body.getLocalName().equals("Fault") || addressing == null
                    || addressing.getRelatesTo() == null) {
                return;
            }
            String key = keys.remove(addressing.getRelatesTo().getValue());
            if (key != null && waiting.get(key) != null) {
                waiting.get(key).completeExceptionally(new Failed("a SOAP fault came to our address"));
            }
        }
    }

    // ---- IPF's correlation, as far as it is needed without audit ------------------------------------------------

    @Override
    public void storeServiceEndpointUri(String messageId, String serviceEndpointUri) {}

    @Override
    public void storeCorrelationKey(String messageId, String correlationKey) {
        keys.put(messageId, correlationKey);
    }

    @Override
    public void storeAuditDataset(String messageId, WsAuditDataset auditDataset) {}

    @Override
    public String getServiceEndpointUri(String messageId) {
        return null;
    }

    @Override
    public String getCorrelationKey(String messageId) {
        return keys.get(messageId);
    }

    @Override
    public WsAuditDataset getAuditDataset(String messageId) {
        return null;
    }

    /** None on purpose: an answer must say by wsa:RelatesTo what it answers. */
    @Override
    public void storeAlternativeKeys(String messageId, String... alternativeKeys) {}

    @Override
    public String getMessageId(String alternativeKey) {
        return null;
    }

    @Override
    public boolean delete(String messageId) {
        return keys.remove(messageId) != null;
    }
}
