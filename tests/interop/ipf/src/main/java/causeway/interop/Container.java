package causeway.interop;

import java.nio.file.Files;
import org.apache.camel.RoutesBuilder;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.coyote.http11.AbstractHttp11Protocol;
import org.apache.cxf.transport.servlet.CXFNonSpringServlet;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;

/** The servlet container that IPF's services live in: HTTPS on loopback, with the client's certificate required. */
final class Container {
    private final Tomcat tomcat = new Tomcat();
    private final Context context;

    /** Arguments: --port --cert --key --ca. */
    Container(Arguments arguments) throws Exception {
        SSLHostConfig tls = new SSLHostConfig();
        tls.setProtocols("TLSv1.2+TLSv1.3");
        tls.setCertificateVerification("required");
        tls.setTrustStore(Pem.trust(arguments.get("ca")));
        SSLHostConfigCertificate own = new SSLHostConfigCertificate(tls, SSLHostConfigCertificate.Type.UNDEFINED);
        own.setCertificateKeystore(Pem.identity(arguments.get("cert"), arguments.get("key")));
        own.setCertificateKeyPassword(Pem.PASSWORD);
        tls.addCertificate(own);

        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(arguments.number("port", 0));
        connector.setScheme("https");
        connector.setSecure(true);
        ((AbstractHttp11Protocol<?>) connector.getProtocolHandler()).setSSLEnabled(true);
        connector.addSslHostConfig(tls);

        tomcat.setBaseDir(Files.createTempDirectory("ipf-container").toString());
        tomcat.setConnector(connector);
        context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "cxf", new CXFNonSpringServlet()).setLoadOnStartup(1);
        context.addServletMappingDecoded("/services/*", "cxf");
    }

    /** Below {@code /services/}: retrievals to one of IPF's addresses, everything else to the other. */
    void share(String path, String retrieval, String other) {
        Tomcat.addServlet(context, path, new SharedAddress(retrieval, other));
        context.addServletMappingDecoded("/services/" + path, path);
    }

    /** Serves until the process is stopped; says READY and the port once it does. */
    void serve(RoutesBuilder routes) throws Exception {
        // the servlet before the routes: IPF's services hang themselves into the bus that it makes
        tomcat.start();
        DefaultCamelContext camel = new DefaultCamelContext();
        camel.addRoutes(routes);
        camel.start();
        System.out.println("READY " + tomcat.getConnector().getLocalPort());
        System.out.flush();
        tomcat.getServer().await();
    }
}
