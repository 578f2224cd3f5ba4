package causeway.interop;

/** What makes a step fail: the message is the reason that the suite prints. */
final class Failed extends Exception {
    private static final long serialVersionUID = 1L;

    Failed(String reason) {
        super(reason);
    }

    Failed(String reason, Throwable cause) {
        super(reason, cause);
    }
}
