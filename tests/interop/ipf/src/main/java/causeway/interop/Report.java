package causeway.interop;

/** One line per step on standard output, and the count at the end. */
final class Report {
    /** A step's body: returns if the step holds, throws what is wrong if not. */
    @FunctionalInterface
    interface Body {
        void run() throws Exception;
    }

    private int passed;
    private int failed;

    void step(String name, Body body) {
        try {
            body.run();
            passed++;
            System.out.println("ok " + name);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL " + name + " " + reason(e));
            if (System.getenv("IPF_DEBUG") != null) {
                e.printStackTrace();
            }
        }
        System.out.flush();
    }

    /** Prints the count; true if all passed and there was anything to pass. */
    boolean close() {
        System.out.println(passed + " passed, " + failed + " failed");
        return failed == 0 && passed > 0;
    }

    /** The whole chain on one line: the cause of a TLS or SOAP failure is usually at its end. */
    private static String reason(Throwable error) {
        StringBuilder line = new StringBuilder();
        String last = null;
        for (Throwable t = error; t != null; t = t.getCause()) {
            String text = t.getMessage() == null ? t.getClass().getSimpleName() : t.getMessage();
            text = text.replaceAll("\\s+", " ");
            boolean repeats = last != null && last.contains(text);
            if (!repeats) {
                line.append(line.isEmpty() ? "" : " <- ").append(t instanceof Failed ? "" : t.getClass().getSimpleName() + ": ")
                        .append(text);
                last = text;
            }
        }
        return line.length() > 700 ? line.substring(0, 700) + "…" : line.toString();
    }
}
