package causeway.interop;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.security.KeyStore;
import java.util.Map;
import javax.net.ssl.SSLContext;
import org.apache.camel.RoutesBuilder;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.coyote.http11.AbstractHttp11Protocol;
import org.apache.cxf.configuration.jsse.TLSClientParameters;
import org.apache.cxf.transport.http.HTTPConduitConfigurer;
import org.apache.cxf.transport.servlet.CXFNonSpringServlet;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;

/** The servlet container that IPF's services live in: HTTPS on loopback, with the client's certificate required. */
final class Container {
    /** Roots of messages that share an address with others. */
    static final String RETRIEVAL = "RetrieveDocumentSetRequest";
    static final String DISCOVERY = "PRPA_IN201305UV02";
    static final String SUBMISSION = "ProvideAndRegisterDocumentSetRequest";
    /** Of the same root as a query, and told from one by what it wants. */
    static final String FETCH = "LeafClassWithRepositoryItem";
    static final String LOCATION = "PatientLocationQueryRequest";

    private final Tomcat tomcat = new Tomcat();
    private final CXFNonSpringServlet services = new CXFNonSpringServlet();
    private final DefaultCamelContext camel = new DefaultCamelContext();
    private final KeyStore identity;
    private final KeyStore trust;
    private final Context context;

    /** Arguments: --port --cert --key --ca. */
    Container(Arguments arguments) throws Exception {
        this(arguments.number("port", 0), Pem.identity(arguments.get("cert"), arguments.get("key")),
                Pem.trust(arguments.get("ca")));
    }

    Container(int port, KeyStore identity, KeyStore trust) throws Exception {
        this.identity = identity;
        this.trust = trust;
        tomcat.setBaseDir(Files.createTempDirectory("ipf-container").toString());
        tomcat.setConnector(connector(port));
        context = tomcat.addContext("", null);
        add("cxf", "/services/*", services).setLoadOnStartup(1);
    }

    private Connector connector(int port) {
        SSLHostConfig tls = new SSLHostConfig();
        tls.setProtocols("TLSv1.2+TLSv1.3");
        tls.setCertificateVerification("required");
        tls.setTrustStore(trust);
        SSLHostConfigCertificate own = new SSLHostConfigCertificate(tls, SSLHostConfigCertificate.Type.UNDEFINED);
        own.setCertificateKeystore(identity);
        own.setCertificateKeyPassword(Pem.PASSWORD);
        tls.addCertificate(own);

        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(port);
        connector.setScheme("https");
        connector.setSecure(true);
        ((AbstractHttp11Protocol<?>) connector.getProtocolHandler()).setSSLEnabled(true);
        connector.addSslHostConfig(tls);
        return connector;
    }

    private org.apache.catalina.Wrapper add(String name, String path, HttpServlet servlet) {
        var wrapper = Tomcat.addServlet(context, name, servlet);
        context.addServletMappingDecoded(path, name);
        return wrapper;
    }

    /** Below {@code /services/}: each root to one of IPF's addresses, everything else to {@code other}. */
    SharedAddress share(String path, String other, Map<String, String> byRoot) {
        SharedAddress shared = new SharedAddress(byRoot, other);
        add(path, "/services/" + path, shared);
        return shared;
    }

    /** One more port, which is closed for good by a POST to {@code /close} at the first one. */
    void closeable(int port) {
        Connector connector = connector(port);
        tomcat.getService().addConnector(connector);
        add("close", "/close", new HttpServlet() {
            private static final long serialVersionUID = 1L;

            @Override
            protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
                try {
                    connector.stop();
                    connector.destroy();
                } catch (LifecycleException e) {
                    throw new IOException(e);
                }
            }
        });
    }

    /** Starts to serve, and to answer where a request's wsa:ReplyTo says. */
    void start(RoutesBuilder... routes) throws Exception {
        // the servlet before the routes: IPF's services hang themselves into the bus that it makes
        tomcat.start();
        SSLContext client = Pem.context(identity, trust);
        HTTPConduitConfigurer outgoing = (name, address, conduit) -> {
            TLSClientParameters parameters = new TLSClientParameters();
            parameters.setSSLSocketFactory(client.getSocketFactory());
            conduit.setTlsClientParameters(parameters);
        };
        services.getBus().setExtension(outgoing, HTTPConduitConfigurer.class);
        for (RoutesBuilder some : routes) {
            camel.addRoutes(some);
        }
        camel.start();
    }

    /** What routes may name. */
    void bind(String name, Object object) {
        camel.getRegistry().bind(name, object);
    }

    /** Serves until the process is stopped; says READY and the port once it does. */
    void serve(RoutesBuilder... routes) throws Exception {
        start(routes);
        System.out.println("READY " + tomcat.getConnector().getLocalPort());
        System.out.flush();
        tomcat.getServer().await();
    }
}
