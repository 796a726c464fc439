package eashost;

import java.util.ArrayList;
import java.util.List;

/** A message of which only some frames have come. */
final class Message {
    /** The request's id; 0 for START. */
    final long id;

    /** The next message that has not come whole. */
    Message next;

    /** No more frames are kept: the request was cancelled. */
    boolean cancelled;

    private final List<byte[]> parts = new ArrayList<>();
    private long size;
    private OutOfMemoryError failed;

    Message(long id) {
        this.id = id;
    }

    /** Adds the payload of a frame; false where the message has become longer than one may be. */
    boolean add(Input frame) {
        size += frame.length();
        if (size > Wire.MAX_MESSAGE) {
            return false;
        }
        if (!cancelled && failed == null) {
            try {
                parts.add(frame.payload());
            } catch (OutOfMemoryError e) {
                failed = e;
                parts.clear();
            }
        }
        return true;
    }

    void cancel() {
        cancelled = true;
        parts.clear();
    }

    /** Returns the whole message. Where memory did not suffice for it, it says so here. */
    byte[] bytes() {
        if (failed != null) {
            throw failed;
        }
        byte[] whole = new byte[(int) size];
        int at = 0;
        for (int i = 0; i < parts.size(); i++) {
            byte[] part = parts.set(i, null);
            System.arraycopy(part, 0, whole, at, part.length);
            at += part.length;
        }
        return whole;
    }
}
