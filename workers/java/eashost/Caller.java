package eashost;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * A thread that calls the processor. The first one has also loaded it.
 *
 * <p>It takes an interrupt only while it is in the processor's code: one that comes late, of a
 * watchdog for example, or that the processor leaves behind, would otherwise close the connection,
 * because that is what an interrupt does to a channel.
 */
final class Caller extends Thread {
    /** Does not lead. */
    static final int AWAY = 0;

    /** Leads, and is in the host's code. */
    static final int LEADING = 1;

    /** Leads, and serves a request: the lead may be taken away. */
    static final int SERVING = 2;

    private static final Request LEAD = new Request(0, null);

    /** The number of requests served while leading, and one of the places above in the lowest two bits. */
    private final AtomicLong place = new AtomicLong();

    /** The thread below this one among the idle; guarded by the lead's lock. */
    Caller next;

    private final Worker worker;
    private final boolean loads;
    private volatile Request given;

    private final Object gate = new Object();
    private String where; // guarded by gate

    Caller(Worker worker, int number) {
        super("processor-" + number);
        this.worker = worker;
        this.loads = number == 1;
    }

    @Override
    public void run() {
        worker.run(this, loads);
    }

    /** The processor's code begins; `where` says which, for people: "in Process" for example. */
    void enter(String where) {
        synchronized (gate) {
            this.where = where;
        }
    }

    /** The processor's code has ended. */
    void leave() {
        synchronized (gate) {
            where = null;
        }
        interrupted();
    }

    /** Which of the processor's code this thread is in; null for none. */
    String where() {
        synchronized (gate) {
            return where;
        }
    }

    @Override
    public void interrupt() {
        synchronized (gate) {
            if (where != null) {
                super.interrupt();
            }
        }
    }

    // ---- the lead; see Lead

    long place() {
        return place.get();
    }

    static boolean isServing(long place) {
        return (place & 3) == SERVING;
    }

    void setLeading() {
        place.set(place.get() & ~3L | LEADING);
    }

    void setAway() {
        place.set(place.get() & ~3L | AWAY);
    }

    /** Begins to serve a request while leading; returns what {@link #served} wants to know. */
    long setServing() {
        long now = (place.get() & ~3L) + 4 | SERVING;
        place.set(now);
        return now;
    }

    /** The request is served; false where the lead has been taken away meanwhile. */
    boolean served(long serving) {
        return place.compareAndSet(serving, serving & ~3L | LEADING);
    }

    /** Takes the lead away from this thread, if it still serves the request that it did then. */
    boolean depose(long serving) {
        return place.compareAndSet(serving, serving & ~3L | AWAY);
    }

    /** Gives this idle thread the lead. */
    void giveLead() {
        give(LEAD);
    }

    /** Gives this idle thread a request. */
    void give(Request request) {
        given = request;
        LockSupport.unpark(this);
    }

    /** Waits until something is given to this thread; null for the lead. */
    Request await() {
        Request request;
        while ((request = given) == null) {
            LockSupport.park(this);
        }
        given = null;
        return request == LEAD ? null : request;
    }
}
