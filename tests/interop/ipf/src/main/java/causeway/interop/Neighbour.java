package causeway.interop;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssigningAuthority;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;

/** A community beside the broker's: a row of {@code neighbours.txt}, where the columns are told. */
record Neighbour(String name, String home, String repository, int holds, long delay, Mode mode, boolean discovered,
        long timeout, Manner manner) {
    /** How a community is to be asked. */
    enum Mode { SYNCHRONOUS, ASYNCHRONOUS, ANY }

    /** How it behaves. */
    enum Manner { WELL, STOPS, FAULTS }

    private static final String OID = "urn:oid:";

    /** The only one, with nothing special about it. */
    static Neighbour plain(String name, String home, String repository, int holds, long delay) {
        return new Neighbour(name, home, repository, holds, delay, Mode.ANY, false, 0, Manner.WELL);
    }

    static List<Neighbour> read(String file) throws IOException {
        List<Neighbour> rows = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(file))) {
            String[] cells = line.strip().split("\\s+");
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            if (cells.length != 8 || !cells[1].startsWith(OID) || !cells[6].endsWith("s")) {
                throw new IllegalArgumentException("not a row of " + file + ": " + line);
            }
            rows.add(new Neighbour(cells[0], cells[1], cells[1].substring(OID.length()) + ".1",
                    Integer.parseInt(cells[2]), Long.parseLong(cells[3]), Mode.valueOf(cells[4].toUpperCase()),
                    discovered(cells[5]),
                    1000 * Long.parseLong(cells[6].substring(0, cells[6].length() - 1)),
                    Manner.valueOf(cells[7].toUpperCase())));
        }
        return rows;
    }

    private static boolean discovered(String cell) {
        return switch (cell) {
            case "discovered" -> true;
            case "shared" -> false;
            default -> throw new IllegalArgumentException("expected discovered or shared, found " + cell);
        };
    }

    String oid() {
        return home.substring(OID.length());
    }

    /** Whether it answers too late for what the broker gives it. */
    boolean late() {
        return delay > timeout;
    }

    boolean stops() {
        return manner == Manner.STOPS;
    }

    boolean faults() {
        return manner == Manner.FAULTS;
    }

    boolean asynchronous() {
        return mode == Mode.ASYNCHRONOUS;
    }

    /** As whom it knows the patient that others know as {@code shared}. */
    Identifiable patient(Identifiable shared) {
        return discovered
                ? new Identifiable("P-" + shared.getId().substring(shared.getId().length() - 4),
                        new AssigningAuthority(oid() + ".2", "ISO"))
                : shared;
    }

    /** uniqueId to bytes. */
    Map<String, byte[]> holdings() {
        return Samples.holdings(repository, holds);
    }
}
