package eashost;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;

/**
 * The frames that come from the gateway. It belongs to whoever has the lead, one thread at a time,
 * and makes no objects: the frame that {@link #next} has found is in the fields until it is called
 * again.
 */
final class Input {
    /** Room for a whole frame behind the rest of another. */
    private static final int SIZE = 2 * (Wire.MAX_PAYLOAD + Wire.HEADER);

    private final SocketChannel channel;
    private final Leaving leaving;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(SIZE).order(ByteOrder.LITTLE_ENDIAN);
    private int start;
    private int end;

    int type;
    int flags;
    long id;
    private int payload;
    private int length;

    Input(SocketChannel channel, Leaving leaving) {
        this.channel = channel;
        this.leaving = leaving;
    }

    /** Takes the next frame; false where it has not come whole. */
    boolean next() {
        int have = end - start;
        if (have < Wire.HEADER) {
            return false;
        }
        int length = buffer.getInt(start);
        type = buffer.get(start + 4) & 0xff;
        flags = buffer.get(start + 5) & 0xff;
        id = buffer.getLong(start + 8);
        if (length < 0 || length > Wire.MAX_PAYLOAD) {
            throw leaving.protocolBroken("a frame of " + (length & 0xffffffffL) + " bytes, the limit is " + Wire.MAX_PAYLOAD);
        }
        if ((type < Wire.HELLO || type > Wire.DRAINED) && (flags & Wire.OPTIONAL) == 0) {
            throw leaving.protocolBroken("a frame of unknown type " + type);
        }
        if (have - Wire.HEADER < length) {
            return false;
        }
        payload = start + Wire.HEADER;
        this.length = length;
        start = payload + length;
        return true;
    }

    /** The size of the frame's payload. */
    int length() {
        return length;
    }

    /** Returns a copy of the frame's payload. */
    byte[] payload() {
        if (length == 0) {
            return new byte[0]; // the processor's to keep
        }
        byte[] copy = new byte[length];
        buffer.limit(end);
        buffer.position(payload);
        buffer.get(copy);
        return copy;
    }

    /** Waits for more bytes. At the end of the connection it ends the process. */
    void read() {
        if (start == end) {
            start = 0;
            end = 0;
        } else if (SIZE - end < SIZE / 2) {
            buffer.limit(end);
            buffer.position(start);
            buffer.compact();
            end -= start;
            start = 0;
        }
        buffer.limit(SIZE);
        buffer.position(end);
        int n;
        try {
            n = channel.read(buffer);
        } catch (IOException e) {
            throw leaving.connectionFailed(e);
        }
        if (n < 0) {
            throw leaving.gatewayGone();
        }
        end += n;
    }
}
