package eashost;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;

/**
 * The ways in which this process ends, other than by the processor's own doing. None of them runs
 * shutdown hooks or finalizers: they could hang, or turn a clean end into another one.
 *
 * <p>Its methods do not return. Those that an expression needs say so by their result: {@code throw
 * leaving.gatewayGone()}.
 */
final class Leaving {
    /** Exit statuses of a worker. */
    static final int GONE = 0;
    static final int FAILED = 1;
    static final int USAGE = 2;
    static final int BROKEN = 3;
    static final int NO_MEMORY = 12; // ENOMEM

    /** How long the processor's output may take to be flushed, in milliseconds. */
    private static final long FLUSH = 2000;

    private static final FileOutputStream ERR = new FileOutputStream(FileDescriptor.err);

    private final Thread flush = new Flush(); // made while there is memory for it
    private volatile Thread leaver;

    /**
     * Writes a text to standard error, past System.err, whose lock a thread of the processor may hold
     * for ever.
     */
    static void print(String text) {
        print(Wire.utf8(text));
    }

    static void print(byte[] text) {
        try {
            ERR.write(text);
        } catch (IOException e) {
            // Nobody reads it: there is no other place to say it.
        }
    }

    /** Writes a line of the host's own to standard error. */
    static void say(String text) {
        print(Main.NAME + ": " + text + "\n");
    }

    /**
     * The calling thread is about to end the process, and goes on to send what belongs to the end. The
     * gateway may close the connection before it is done; that is no reason to hurry then. Where another
     * thread is at it already, this one lets it.
     */
    synchronized void begin() {
        if (leaver != null && leaver != Thread.currentThread()) {
            pause(2 * FLUSH);
        }
        leaver = Thread.currentThread();
    }

    /** Whether a thread is about to end the process. */
    boolean begun() {
        return leaver != null;
    }

    /** Ends the process after the output of the processor. */
    void end(int status) {
        try {
            flush.start();
            flush.join(FLUSH);
        } catch (InterruptedException | Error | IllegalThreadStateException e) {
            // No memory or no room for a thread, or one that is at it already.
        }
        halt(status);
    }

    /** Writes what the processor has printed; something may hold the lock of a stream for ever. */
    private static final class Flush extends Background {
        Flush() {
            super("eashost-flush");
        }

        @Override
        public void run() {
            try {
                System.out.flush();
                System.err.flush();
            } catch (Throwable e) {
                // It may be memory that is missing: the process ends all the same.
            }
        }
    }

    static void halt(int status) {
        Runtime.getRuntime().halt(status);
    }

    /**
     * The gateway has gone, so that nobody waits for anything: ends the process at once, with all that
     * it has started, whatever the processor does.
     */
    Error gatewayGone() {
        if (leaver == Thread.currentThread()) {
            end(GONE);
        }
        if (leaver != null) {
            pause(FLUSH);
        }
        try {
            Processes.endGroup();
        } finally {
            halt(GONE);
        }
        return new Error();
    }

    /** A read or write failed. */
    Error connectionFailed(IOException e) {
        if (e instanceof ClosedChannelException) {
            say("the processor closed the connection to the gateway");
            halt(BROKEN);
        }
        return gatewayGone();
    }

    /** The gateway did what the protocol forbids. */
    Error protocolBroken(String how) {
        say("the gateway broke the protocol: " + how);
        halt(BROKEN);
        return new Error();
    }

    static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            // A shorter pause.
        }
    }
}
