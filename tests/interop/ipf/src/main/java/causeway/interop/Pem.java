package causeway.interop;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Key stores made in memory from PEM files, so that no store with a password lies on disk. */
final class Pem {
    /** Protects nothing but satisfies the interfaces: the stores never leave this process. */
    static final String PASSWORD = "changeit";

    private static final Pattern KEY =
            Pattern.compile("-----BEGIN (RSA |EC |)PRIVATE KEY-----([^-]+)-----END", Pattern.DOTALL);

    /** DER of the AlgorithmIdentifier rsaEncryption with NULL parameters. */
    private static final byte[] RSA_ENCRYPTION = {
        0x30, 0x0d, 0x06, 0x09, 0x2a, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

    private Pem() {}

    static KeyStore identity(String certificateFile, String keyFile) throws GeneralSecurityException, IOException {
        Certificate[] chain = certificates(certificateFile).toArray(Certificate[]::new);
        KeyStore store = empty();
        store.setKeyEntry("identity", privateKey(keyFile), PASSWORD.toCharArray(), chain);
        return store;
    }

    static KeyStore trust(String authorityFile) throws GeneralSecurityException, IOException {
        KeyStore store = empty();
        int n = 0;
        for (Certificate certificate : certificates(authorityFile)) {
            store.setCertificateEntry("authority-" + n++, certificate);
        }
        return store;
    }

    /** A client context; {@code identity} may be null, for a client that has no certificate to show. */
    static SSLContext context(KeyStore identity, KeyStore trust) throws GeneralSecurityException {
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(trust);
        SSLContext context = SSLContext.getInstance("TLS");
        if (identity == null) {
            context.init(null, trusted.getTrustManagers(), null);
        } else {
            KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keys.init(identity, PASSWORD.toCharArray());
            context.init(keys.getKeyManagers(), trusted.getTrustManagers(), null);
        }
        return context;
    }

    private static KeyStore empty() throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        return store;
    }

    private static Collection<? extends Certificate> certificates(String file)
            throws GeneralSecurityException, IOException {
        byte[] bytes = Files.readAllBytes(Path.of(file));
        return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(bytes));
    }

    private static PrivateKey privateKey(String file) throws GeneralSecurityException, IOException {
        Matcher block = KEY.matcher(Files.readString(Path.of(file)));
        if (!block.find()) {
            throw new GeneralSecurityException(file + " holds no unencrypted PEM private key");
        }
        byte[] der = Base64.getMimeDecoder().decode(block.group(2));
        switch (block.group(1)) {
            case "RSA " -> der = pkcs8(der);
            case "EC " -> throw new GeneralSecurityException(
                    file + " is a SEC1 key; convert it with: openssl pkcs8 -topk8 -nocrypt");
            default -> { }
        }
        // PKCS#8 names its algorithm inside; asking each factory is shorter than parsing it out
        for (String algorithm : new String[] {"RSA", "EC", "Ed25519"}) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
            } catch (InvalidKeySpecException next) {
                // not of this algorithm
            }
        }
        throw new GeneralSecurityException(file + " is neither an RSA, an EC nor an Ed25519 key");
    }

    /** PKCS#1 in the PKCS#8 envelope that Java reads: SEQUENCE { 0, rsaEncryption, OCTET STRING { key } }. */
    private static byte[] pkcs8(byte[] pkcs1) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        body.write(new byte[] {0x02, 0x01, 0x00});
        body.write(RSA_ENCRYPTION);
        body.write(der(0x04, pkcs1));
        return der(0x30, body.toByteArray());
    }

    private static byte[] der(int tag, byte[] content) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(tag);
        if (content.length < 0x80) {
            out.write(content.length);
        } else {
            // DER wants the shortest length, so leading zero bytes go
            byte[] length = ByteBuffer.allocate(4).putInt(content.length).array();
            int skip = 0;
            while (length[skip] == 0) {
                skip++;
            }
            out.write(0x80 | (4 - skip));
            out.write(length, skip, 4 - skip);
        }
        out.write(content);
        return out.toByteArray();
    }
}
