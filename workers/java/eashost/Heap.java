package eashost;

/**
 * What becomes of the worker when memory runs out. A request that was too large for the heap costs
 * nothing but itself: what it held is garbage. Where memory stays short, because something keeps it,
 * the worker ends, and the gateway starts a new one.
 */
final class Heap {
    /** How full the heap may be after a collection, in percent, for the worker to go on. */
    private static final int FULL = 90;

    /** The same where no request has been served well since the last time. */
    private static final int HALF = 50;

    private final Output output;
    private final Leaving leaving;

    /** Memory to find words with. */
    private byte[] reserve = new byte[64 << 10];

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
        String why = look(e, where);
        byte[] text = Wire.utf8(e + "; the heap holds " + mebibytes(Runtime.getRuntime().maxMemory()) + " at most");
        output.frame(Wire.RESPONSE, 0, 500, id, text, false);
        if (why != null) {
            end(why);
        }
    }

    /** Ends the process where there is no memory to go on with. */
    void check(OutOfMemoryError e, String where) {
        String why = look(e, where);
        if (why != null) {
            end(why);
        }
    }

    /** Sends the answers that were given and ends the process. */
    void end(String why) {
        leaving.begin();
        output.finish();
        Leaving.say(why + ": the worker ends, so that a new one takes its place");
        leaving.end(Leaving.NO_MEMORY);
    }

    /** Returns why there is no memory to go on with; null where there is. */
    private synchronized String look(OutOfMemoryError e, String where) {
        reserve = null;
        String what = e.getMessage() == null ? "Java heap space" : e.getMessage();
        String why = null;
        if (what.startsWith("Metaspace") || what.startsWith("Compressed class space")) {
            why = e + " " + where;
        } else if (what.startsWith("Java heap space") || what.startsWith("GC overhead limit exceeded")) {
            System.gc();
            Runtime runtime = Runtime.getRuntime();
            long used = runtime.totalMemory() - runtime.freeMemory();
            long percent = used * 100 / runtime.maxMemory();
            if (percent > (again ? HALF : FULL)) {
                why = "the heap of " + mebibytes(runtime.maxMemory()) + " is still " + percent + " % full after " + e + " " + where;
            }
            again = true;
        }
        if (why == null) {
            reserve = new byte[64 << 10];
        }
        return why;
    }

    private static String mebibytes(long bytes) {
        return (bytes >> 20) + " MiB";
    }
}
