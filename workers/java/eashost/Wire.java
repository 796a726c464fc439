package eashost;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * The words of the worker protocol, version 1, which docs/worker-protocol.md specifies: types of
 * frames, flags, sizes in bytes, and the form of properties.
 */
final class Wire {
    static final int HELLO = 1;
    static final int START = 2;
    static final int READY = 3;
    static final int FAILED = 4;
    static final int REQUEST = 5;
    static final int RESPONSE = 6;
    static final int CANCEL = 7;
    static final int PING = 8;
    static final int PONG = 9;
    static final int DRAIN = 10;
    static final int DRAINED = 11;

    static final int MORE = 0x01;
    static final int EXCEPTION = 0x02;
    static final int OPTIONAL = 0x80;

    static final int HEADER = 16;
    static final int MAX_PAYLOAD = 256 << 10;
    static final int MAX_MESSAGE = Integer.MAX_VALUE;
    static final int MAX_THREADS = 4096;

    static final String VERSION = "1";

    static final byte[] NOTHING = new byte[0];

    private Wire() {}

    /**
     * Returns the payload that holds properties, given as names and values in turn. A value cannot
     * hold a zero byte: it ends there.
     */
    static byte[] properties(String... pairs) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (String text : pairs) {
            int zero = text.indexOf('\0');
            byte[] bytes = utf8(zero < 0 ? text : text.substring(0, zero));
            out.write(bytes, 0, bytes.length);
            out.write(0);
        }
        return out.toByteArray();
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Reads properties; null where they break off. Of a name that stands twice the last value counts. */
    static Map<String, String> properties(byte[] payload) {
        Map<String, String> properties = new HashMap<>();
        String name = null;
        int from = 0;
        for (int i = 0; i < payload.length; i++) {
            if (payload[i] != 0) {
                continue;
            }
            String text = new String(payload, from, i - from, StandardCharsets.UTF_8);
            from = i + 1;
            if (name == null) {
                name = text;
            } else {
                properties.put(name, text);
                name = null;
            }
        }
        return name == null && from == payload.length ? properties : null;
    }
}
