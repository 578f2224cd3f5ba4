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

/**
 * One address for two transactions, a retrieval and another. IPF gives each transaction an address of its own, while
 * brokers and gateways, Causeway too, have one for all that an actor does. The head of the message decides, because
 * the action parameter of the content type is optional.
 */
final class SharedAddress extends HttpServlet {
    private static final long serialVersionUID = 1L;
    /** Far enough into a message to have seen its addressing headers, or the start of its body. */
    private static final int HEAD = 64 * 1024;

    private final String retrieval;
    private final String other;

    SharedAddress(String retrieval, String other) {
        this.retrieval = retrieval;
        this.other = other;
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
            throws ServletException, IOException {
        InputStream body = request.getInputStream();
        byte[] head = body.readNBytes(HEAD);
        boolean retrieve = new String(head, StandardCharsets.ISO_8859_1).contains("RetrieveDocumentSetRequest");
        InputStream again = new SequenceInputStream(new ByteArrayInputStream(head), body);
        request.getRequestDispatcher("/services/" + (retrieve ? retrieval : other))
                .forward(new Replayed(request, again), response);
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
