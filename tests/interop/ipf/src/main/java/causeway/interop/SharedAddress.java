package causeway.interop;

import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One address for several transactions. IPF gives each transaction an address of its own, while brokers and gateways,
 * Causeway too, have one for all that an actor does. The head of the message decides, because the action parameter of
 * the content type is optional.
 */
final class SharedAddress extends HttpServlet {
    private static final long serialVersionUID = 1L;
    /** Far enough into a message to have seen its addressing headers, or the start of its body. */
    private static final int HEAD = 64 * 1024;

    private static final Pattern REPLY_TO =
            Pattern.compile("ReplyTo[^>]*>\\s*<[^>]*Address[^>]*>\\s*(http(?!://www\\.w3\\.org/)[^<\\s]*)");
    private static final String UNREACHABLE = "<env:Envelope xmlns:env=\"http://www.w3.org/2003/05/soap-envelope\""
            + " xmlns:wsa=\"http://www.w3.org/2005/08/addressing\"><env:Header><wsa:Action>"
            + "http://www.w3.org/2005/08/addressing/fault</wsa:Action></env:Header><env:Body><env:Fault><env:Code>"
            + "<env:Value>env:Sender</env:Value><env:Subcode><env:Value>wsa:DestinationUnreachable</env:Value>"
            + "</env:Subcode></env:Code><env:Reason><env:Text xml:lang=\"en\">not listed</env:Text></env:Reason>"
            + "</env:Fault></env:Body></env:Envelope>";

    private final Map<String, String> byRoot;
    private final String other;
    private String listed;

    /** From the name of a message's root to one of IPF's addresses; {@code other} for all other messages. */
    SharedAddress(Map<String, String> byRoot, String other) {
        this.byRoot = Map.copyOf(byRoot);
        this.other = other;
    }

    /** Requests whose answers are to go elsewhere are refused, except below this address. */
    void answersOnlyTo(String address) {
        listed = address;
    }

    private boolean refused(String head) {
        Matcher replyTo = REPLY_TO.matcher(head);
        return listed != null && replyTo.find() && !replyTo.group(1).startsWith(listed);
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
            throws ServletException, IOException {
        InputStream body = request.getInputStream();
        byte[] head = body.readNBytes(HEAD);
        String text = new String(head, StandardCharsets.ISO_8859_1);
        if (refused(text)) {
            response.setStatus(HttpServletResponse.SC_BAD_REQUEST);
            response.setContentType("application/soap+xml;charset=UTF-8");
            response.getWriter().write(UNREACHABLE);
            return;
        }
        String target = byRoot.entrySet().stream().filter(root -> text.contains(root.getKey()))
                .map(Map.Entry::getValue).findFirst().orElse(other);
        InputStream again = new SequenceInputStream(new ByteArrayInputStream(head), body);
        request.getRequestDispatcher("/services/" + target).forward(new Replayed(request, again), response);
    }

    /** The request again, from its first byte. */
    private static final class Replayed extends HttpServletRequestWrapper {
        private final InputStream body;

        Replayed(HttpServletRequest request, InputStream body) {
            super(request);
            this.body = body;
        }

        @Override
        public ServletInputStream getInputStream() {
            return new ServletInputStream() {
                private boolean finished;

                @Override
                public int read() throws IOException {
                    int value = body.read();
                    finished |= value < 0;
                    return value;
                }

                @Override
                public int read(byte[] into, int offset, int length) throws IOException {
                    int read = body.read(into, offset, length);
                    finished |= read < 0;
                    return read;
                }

                @Override
                public boolean isFinished() {
                    return finished;
                }

                @Override
                public boolean isReady() {
                    return true;
                }

                @Override
                public void setReadListener(ReadListener listener) {
                    throw new UnsupportedOperationException();
                }
            };
        }
    }
}
