package eashost;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;

/**
 * The frames that go to the gateway. They are collected in one buffer while another one is being
 * sent, so that one system call sends what came together, whichever threads it came from. The
 * thread that sends holds no lock while it does.
 */
final class Output {
    /** Up to here an answer is one of many in a buffer; a larger one is sent by itself. */
    static final int SMALL = 32 << 10;

    /** A batch of answers is sent at this size, or earlier. */
    static final int BATCH = 64 << 10;

    /** Above it threads wait for the one that sends. */
    private static final int FULL = 256 << 10;

    private final SocketChannel channel;
    private final Leaving leaving;

    // Guarded by this object's lock.
    private ByteBuffer filling = buffer(FULL + Wire.MAX_PAYLOAD);
    private ByteBuffer spare = buffer(FULL + Wire.MAX_PAYLOAD);
    private boolean sending;
    private int waiting;
    private long turn; // long messages take turns, a frame each
    private long nextTurn;

    Output(SocketChannel channel, Leaving leaving) {
        this.channel = channel;
        this.leaving = leaving;
    }

    private static ByteBuffer buffer(int size) {
        return ByteBuffer.allocateDirect(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * Appends a frame, which goes out with the next {@link #flush}, and returns how many bytes wait
     * for it. The control thread does not wait for room: it must get on whatever happens.
     */
    synchronized int frame(int type, int flags, int status, long id, byte[] payload, boolean wait) {
        while (wait && sending && filling.position() > FULL) {
            await();
        }
        append(type, flags, status, id, payload, 0, payload.length);
        return filling.position();
    }

    /** Sends what has been appended, unless another thread is sending: that one takes it along. */
    void flush() {
        synchronized (this) {
            if (sending || filling.position() == 0) {
                return;
            }
            sending = true;
        }
        send();
    }

    /**
     * Sends a message of any length, cut into frames. Other frames go out between them; several long
     * messages take turns.
     */
    void message(int type, int flags, int status, long id, byte[] payload) {
        int at = 0;
        do {
            int n = Math.min(payload.length - at, Wire.MAX_PAYLOAD);
            synchronized (this) {
                long mine = nextTurn++;
                while (sending || turn != mine) {
                    await();
                }
                turn++;
                sending = true;
                append(type, at + n < payload.length ? flags | Wire.MORE : flags, status, id, payload, at, n);
            }
            send();
            at += n;
        } while (at < payload.length);
    }

    /** Returns when everything has been sent. */
    void finish() {
        for (;;) {
            flush();
            synchronized (this) {
                if (!sending && filling.position() == 0) {
                    return;
                }
                if (sending) {
                    await();
                }
            }
        }
    }

    /** Tells the gateway that nothing more comes. */
    void close() {
        try {
            channel.shutdownOutput();
        } catch (IOException | Error e) {
            // It may be memory that is missing: then the end of the process tells it.
        }
    }

    private void append(int type, int flags, int status, long id, byte[] payload, int from, int n) {
        if (filling.remaining() < Wire.HEADER + n) {
            int size = Math.max(2 * filling.capacity(), filling.position() + Wire.HEADER + n);
            ByteBuffer larger = buffer(size);
            filling.flip();
            larger.put(filling);
            filling = larger;
        }
        filling.putLong(n | (long) type << 32 | (long) flags << 40 | (long) status << 48);
        filling.putLong(id);
        filling.put(payload, from, n);
    }

    /**
     * Sends what has been appended; `sending` is set, and this thread's. It does not go on for ever
     * with what others append: a thread that waits sends next.
     */
    private void send() {
        ByteBuffer batch;
        synchronized (this) {
            batch = filling;
            filling = spare;
        }
        for (;;) {
            batch.flip();
            try {
                while (batch.hasRemaining()) {
                    channel.write(batch);
                }
            } catch (IOException e) {
                throw leaving.connectionFailed(e);
            }
            batch.clear();
            synchronized (this) {
                if (waiting > 0 || filling.position() == 0) {
                    spare = batch;
                    sending = false;
                    if (waiting > 0) {
                        notifyAll();
                    }
                    return;
                }
                ByteBuffer next = filling;
                filling = batch;
                batch = next;
            }
        }
    }

    private void await() {
        waiting++;
        try {
            wait();
        } catch (InterruptedException e) {
            // Nobody can interrupt a thread of the host here, and nothing follows from it.
        } finally {
            waiting--;
        }
    }
}
