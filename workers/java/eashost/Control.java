package eashost;

import java.util.concurrent.locks.LockSupport;

/**
 * The thread that runs no code of the processor, so that PING, DRAIN and the end of the connection are
 * seen whatever the processor does. While another thread leads it looks every millisecond whether that
 * one gets on, and sleeps where nothing happens.
 */
final class Control extends Background {
    private static final long TICK = 1_000_000; // nanoseconds

    /** So many ticks without a request, and it sleeps until there is one. */
    private static final int QUIET = 20;

    private final Worker worker;
    private volatile boolean asleep;

    Control(Worker worker) {
        super("eashost-control");
        this.worker = worker;
    }

    @Override
    public void run() {
        try {
            for (;;) {
                worker.lead.leadFromControl();
                watch();
            }
        } catch (Throwable t) {
            worker.broken(t);
        }
    }

    /** A thread that leads has begun to serve a request: look after it. */
    void wake() {
        if (asleep) {
            LockSupport.unpark(this);
        }
    }

    /** Watches those who lead until it is this thread's turn. */
    private void watch() {
        Caller before = null;
        long placeBefore = 0;
        int quiet = 0;
        for (;;) {
            Caller thread = worker.lead.leader();
            if (thread == null) {
                return;
            }
            long place = thread.place();
            if (thread != before || place != placeBefore) {
                quiet = 0;
            } else if (Caller.isServing(place)) {
                if (worker.lead.takeFrom(thread, place)) {
                    return;
                }
                quiet = 0;
            } else if (++quiet >= QUIET) {
                sleep();
                quiet = 0;
            }
            before = thread;
            placeBefore = place;
            LockSupport.parkNanos(this, TICK);
        }
    }

    /**
     * Sleeps until a request comes. A leader says that it serves one and then looks whether this thread
     * sleeps; here it is the other way round: one of the two notices.
     */
    private void sleep() {
        asleep = true;
        Caller thread = worker.lead.leader();
        if (thread != null && !Caller.isServing(thread.place())) {
            LockSupport.park(this);
        }
        asleep = false;
    }
}
