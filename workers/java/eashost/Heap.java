package eashost;

import java.nio.ByteBuffer;

/**
 * What becomes of the worker when memory runs out. A request that was too large for the heap costs
 * nothing but itself: what it held is garbage. Where memory stays short, because something keeps it,
 * the worker ends, and the gateway starts a new one.
 *
 * <p>Every word said here needs memory, which may be missing, and so may be that for a class which has not
 * been used yet: what must be said in any case is ready from the start.
 */
final class Heap {
    /** How full the heap may be after a collection, in percent, for the worker to go on. */
    private static final int FULL = 90;

    /** The same where no request has been served well since the last time. */
    private static final int HALF = 50;

    /** What a processor that works with direct buffers may be expected to need of them, in bytes. */
    private static final int PROBE = 1 << 20;

    private static final int RESERVE = 256 << 10;

    private static final byte[] ANSWER = Wire.utf8("java.lang.OutOfMemoryError");
    private static final byte[] LAST_WORDS =
            Wire.utf8(Main.NAME + ": memory has run out altogether: the worker ends, so that a new one takes its place\n");

    private final Output output;
    private final Leaving leaving;

    /** Memory to find words with. */
    private volatile byte[] reserve = new byte[RESERVE];

    private volatile boolean again;

    Heap(Output output, Leaving leaving) {
        this.output = output;
        this.leaving = leaving;
    }

    /** A request was served well. */
    void suffices() {
        if (again) {
            again = false;
        }
    }

    /** Answers a request that memory did not suffice for, and ends the process where it will not for others. */
    void answer(long id, OutOfMemoryError e, String where) {
        reserve = null;
        String why;
        try {
            why = look(e, where);
            byte[] text = Wire.utf8(e + "; the heap holds " + mebibytes(Runtime.getRuntime().maxMemory()) + " at most");
            output.frame(Wire.RESPONSE, 0, 500, id, text, false);
        } catch (OutOfMemoryError more) {
            output.frame(Wire.RESPONSE, 0, 500, id, ANSWER, false);
            end(null);
            return;
        }
        goOn(e, why);
    }

    /** Ends the process where there is no memory to go on with. */
    void check(OutOfMemoryError e, String where) {
        reserve = null;
        String why;
        try {
            why = look(e, where);
        } catch (OutOfMemoryError more) {
            end(null);
            return;
        }
        goOn(null, why);
    }

    /** Ends the process because a thread of the host's own has no memory. */
    void endHost(OutOfMemoryError e) {
        reserve = null;
        String why = null;
        try {
            why = e + " in the host";
        } catch (OutOfMemoryError more) {
            // There are words for that.
        }
        end(why);
    }

    private void goOn(OutOfMemoryError e, String why) {
        try {
            if (e != null) {
                Leaving.print(Traces.trace(e));
            }
            if (why == null) {
                reserve = new byte[RESERVE];
            }
        } catch (OutOfMemoryError | LinkageError more) {
            // It was said to the client.
        }
        if (why != null) {
            end(why);
        }
    }

    /** Sends the answers that were given and ends the process. Of several threads the first one does. */
    private synchronized void end(String why) {
        leaving.begin();
        output.finish();
        output.close(); // a request that comes next is for the worker that takes its place
        byte[] text = LAST_WORDS;
        try {
            if (why != null) {
                text = Wire.utf8(Main.NAME + ": " + why + ": the worker ends, so that a new one takes its place\n");
            }
        } catch (OutOfMemoryError more) {
            // Then the last words.
        }
        Leaving.print(text);
        leaving.end(Leaving.NO_MEMORY);
    }

    /** Returns why there is no memory to go on with; null where there is. */
    private synchronized String look(OutOfMemoryError e, String where) {
        String what = e.getMessage() == null ? "Java heap space" : e.getMessage();
        if (what.startsWith("Metaspace") || what.startsWith("Compressed class space")) {
            return e + " " + where;
        }
        if (what.contains("irect buffer memory")) {
            return directMemorySuffices() ? null : e + " " + where + ", and there is none left for another buffer";
        }
        if (!what.startsWith("Java heap space") && !what.startsWith("GC overhead limit exceeded")) {
            return null; // threads, an array larger than any can be
        }
        System.gc();
        Runtime runtime = Runtime.getRuntime();
        long used = runtime.totalMemory() - runtime.freeMemory();
        long percent = used * 100 / runtime.maxMemory();
        int limit = again ? HALF : FULL;
        again = true;
        if (percent <= limit) {
            return null;
        }
        return "the heap of " + mebibytes(runtime.maxMemory()) + " is still " + percent + " % full after " + e + " " + where;
    }

    /** Whether a small direct buffer can be had; to make room for one Java collects garbage by itself. */
    private static boolean directMemorySuffices() {
        try {
            return ByteBuffer.allocateDirect(PROBE) != null;
        } catch (OutOfMemoryError e) {
            return false;
        }
    }

    private static String mebibytes(long bytes) {
        return (bytes >> 20) + " MiB";
    }
}
