package eashost;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * What the gateway tells a worker about how to reach it. A JVM cannot take a variable out of its own
 * environment, which the processes that the processor starts would inherit: so they come on standard
 * input, as lines NAME=value, and from the environment only where somebody has set them there.
 */
final class Variables {
    private static final String SOCKET = "EASCMD_WORKER_SOCKET";
    private static final String ID = "EASCMD_WORKER_ID";
    private static final String KEY = "EASCMD_WORKER_KEY";

    final String socket;
    final String id;
    final String key;

    Variables(String socket, String id, String key) throws IOException {
        this.socket = present(SOCKET, socket);
        this.id = present(ID, id);
        this.key = present(KEY, key);
    }

    /** Reads them; a missing one is an error. */
    static Variables read() throws IOException {
        if (System.getenv(SOCKET) != null) {
            return new Variables(System.getenv(SOCKET), System.getenv(ID), System.getenv(KEY));
        }
        String text = standardInput();
        return new Variables(value(text, SOCKET), value(text, ID), value(text, KEY));
    }

    /**
     * Reads standard input to its end. Java puts /dev/null into the place of a standard descriptor that
     * is closed; its System.in is made an empty one.
     */
    private static String standardInput() throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] some = new byte[1024];
        try (FileInputStream in = new FileInputStream(FileDescriptor.in)) {
            int n;
            while ((n = in.read(some)) > 0) {
                all.write(some, 0, n);
            }
        }
        System.setIn(new ByteArrayInputStream(new byte[0]));
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }

    private static String value(String text, String name) {
        int at = 0;
        while (at < text.length()) {
            int end = text.indexOf('\n', at);
            if (end < 0) {
                end = text.length();
            }
            if (text.startsWith(name, at) && at + name.length() < end && text.charAt(at + name.length()) == '=') {
                return text.substring(at + name.length() + 1, end);
            }
            at = end + 1;
        }
        return null;
    }

    private static String present(String name, String value) throws IOException {
        if (value == null || value.isEmpty()) {
            throw new IOException(name + " is not set; this program is started by eascmd");
        }
        return value;
    }
}
