package causeway.interop;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Code;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.LocalizedString;

/** The codes of {@code codes.properties}: the affinity domain decides them, not this program. */
final class Codes {
    private final Properties properties = new Properties();

    Codes(String file) throws IOException {
        try (Reader reader = Files.newBufferedReader(Path.of(file))) {
            properties.load(reader);
        }
    }

    String text(String key) {
        String value = properties.getProperty(key);
        if (value == null) {
            throw new IllegalArgumentException("the codes file has no " + key);
        }
        return value.strip();
    }

    Code code(String key) {
        String[] parts = text(key).split("\\s*\\|\\s*");
        return new Code(parts[0], new LocalizedString(parts[2]), parts[1]);
    }
}
