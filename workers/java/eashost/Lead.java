package eashost;

import java.util.ArrayDeque;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/**
 * Who reads the connection, and what becomes of what is read.
 *
 * <p>One of the threads that call the processor, the leader, reads, and calls the processor itself
 * for what it has read: so a request wakes one thread and costs no hand-over. Where the processor is
 * slow the leader first passes the lead to an idle thread; where it is unexpectedly slow, the control
 * thread takes the lead away from it. While no thread is free the control thread leads: it answers
 * PING and DRAIN, and requests wait for the next free thread.
 *
 * <p>The fields are guarded by this object's lock where nothing else is said. Whoever leads owns the
 * input. The lock of the output may be taken while this one is held, never the other way round.
 */
final class Lead {
    /** A processor that takes longer, in nanoseconds, gets the lead passed on first. */
    private static final long SLOW = 50_000;

    /** The greatest age of an answer that waits for others, in nanoseconds. */
    private static final long AGE = 100_000;

    /** So many requests beyond twice the concurrency are the gateway's fault. */
    private static final int EXTRA = 64;

    // The states of the connection, in their order.
    private static final int WANT_HELLO = 0;
    private static final int WANT_START = 1;
    private static final int LOADING = 2;
    private static final int RUNNING = 3;
    private static final int DRAINING = 4;
    private static final int FINISHED = 5;

    private final Worker worker;
    private final Input input;
    private final Output output;
    private final Leaving leaving;

    private volatile int state = WANT_HELLO; // changed with the lock held
    private volatile Caller leader; // null: the control thread; changed with the lock held
    private Caller idle; // the latest first
    private final ArrayDeque<Request> pending = new ArrayDeque<>();
    private int active; // threads that serve a request without leading
    private int threads = 1;

    // Messages of which frames are still to come; changed by who leads, with the lock held.
    private Message partial;
    private int partials;
    private final Message start = new Message(0);

    /** A smoothed duration of a call, in nanoseconds. Writes that are lost do no harm. */
    private volatile long usual = 4 * SLOW;

    Lead(Worker worker, Input input, Output output, Leaving leaving) {
        this.worker = worker;
        this.input = input;
        this.output = output;
        this.leaving = leaving;
    }

    // ---- threads that call the processor

    /** The processor is loaded: sends READY, unless a drain has come. */
    void ready() {
        synchronized (this) {
            if (state == LOADING) {
                state = RUNNING;
                output.frame(Wire.READY, 0, 0, 0, Wire.properties("concurrency", Integer.toString(threads)), false);
            }
        }
        output.flush();
    }

    /** The life of a thread that calls the processor. */
    void serve(Caller me) {
        for (;;) {
            Request request;
            synchronized (this) {
                request = pending.poll();
                if (request != null) {
                    active++;
                } else {
                    me.next = idle;
                    idle = me;
                }
            }
            if (request == null) {
                request = me.await();
            }
            if (request == null) {
                me.setLeading();
                lead(me);
            } else {
                serveAway(me, request.id, request.body);
            }
        }
    }

    /** Reads and serves requests until the lead has gone to another thread. */
    private void lead(Caller me) {
        // When the last call ended, which is when the next one begins unless a system call lies
        // between them; when the batch of answers that wait began. 0 for not yet.
        long last = 0;
        long batch = 0;
        for (;;) {
            if (!input.next()) {
                if (batch != 0) {
                    output.flush();
                }
                batch = 0;
                last = 0;
                input.read();
                continue;
            }
            byte[] body = null;
            if (input.type != Wire.REQUEST) {
                if (takeOther(me)) {
                    return;
                }
            } else {
                body = takeRequest();
            }
            if (body == null) {
                output.flush();
                batch = 0;
                last = 0;
                continue;
            }

            long id = input.id;
            boolean slow = usual >= SLOW;
            if (slow) {
                if (batch != 0) {
                    output.flush();
                }
                batch = 0;
                last = 0;
                if (passLead(me)) {
                    serveAway(me, id, body);
                    return;
                }
            }
            if (last == 0) {
                last = System.nanoTime();
            }
            if (batch == 0) {
                batch = last;
            }
            long serving = me.setServing();
            worker.control.wake();
            int waiting = worker.answer(me, id, body);
            boolean leads = me.served(serving);
            long now = System.nanoTime();
            note(now - last);
            last = now;
            if (!leads) {
                output.flush();
                cameBack();
                return;
            }
            if (slow || waiting >= Output.BATCH || now - batch >= AGE) {
                output.flush();
                batch = 0;
                last = 0;
            }
        }
    }

    /** Serves a request while another thread leads. */
    private void serveAway(Caller me, long id, byte[] body) {
        long begin = System.nanoTime();
        worker.answer(me, id, body);
        note(System.nanoTime() - begin);
        output.flush();
        cameBack();
    }

    /** The end of serving a request without the lead. */
    private void cameBack() {
        boolean done;
        synchronized (this) {
            active--;
            done = finished();
        }
        if (done) {
            finish();
        }
    }

    /** Smooths the duration of a call. An outlier does not make a fast processor look slow. */
    private void note(long took) {
        long before = usual;
        usual = before + (Math.min(took, 4 * SLOW) - before) / 8;
    }

    /** Gives the lead to an idle thread; false where there is none. */
    private synchronized boolean passLead(Caller me) {
        if (idle == null) {
            return false;
        }
        me.setAway();
        active++;
        promote();
        return true;
    }

    private void promote() {
        Caller next = takeIdle();
        leader = next;
        next.giveLead();
    }

    private Caller takeIdle() {
        Caller next = idle;
        idle = next.next;
        next.next = null;
        return next;
    }

    // ---- the control thread

    /** The thread that leads; null where it is the control thread's turn. */
    Caller leader() {
        return leader;
    }

    /**
     * Takes the lead from a thread that still serves the request that it did a while ago; true where
     * the control thread has to lead now, because no other one is free.
     */
    boolean takeFrom(Caller thread, long serving) {
        synchronized (this) {
            if (leader != thread || !thread.depose(serving)) {
                return false;
            }
            active++;
            leader = null;
            if (idle != null) {
                promote();
            }
        }
        output.flush(); // what that thread had answered before
        return leader == null;
    }

    /** Reads for the control thread until a thread is free to lead. */
    void leadFromControl() {
        for (;;) {
            boolean promoted;
            boolean done = false;
            synchronized (this) {
                do {
                    promoted = state == RUNNING && idle != null;
                    if (promoted) {
                        promote(); // and that thread goes on with what has been read
                    }
                } while (!promoted && takeNext() && !(done = finished()));
            }
            if (done) {
                finish();
            }
            output.flush();
            if (promoted) {
                return;
            }
            input.read();
        }
    }

    /** Takes a frame while no other thread can; false where none has come whole. The lock is held. */
    private boolean takeNext() {
        if (!input.next()) {
            return false;
        }
        if (input.type != Wire.REQUEST) {
            takeOtherLocked();
            return true;
        }
        byte[] body = takeRequest();
        if (body != null) {
            hand(new Request(input.id, body));
        }
        return true;
    }

    private void hand(Request request) {
        if (idle != null) { // in a drain
            active++;
            takeIdle().give(request);
            return;
        }
        if (pending.size() >= 2 * threads + EXTRA) {
            throw leaving.protocolBroken("more than " + pending.size() + " requests wait");
        }
        pending.add(request);
    }

    // ---- frames

    /** Takes a REQUEST frame; returns the body where it completes a request to be served. */
    private byte[] takeRequest() {
        long id = input.id;
        boolean more = (input.flags & Wire.MORE) != 0;
        if (state != RUNNING && !(state == DRAINING && find(id) != null)) {
            throw leaving.protocolBroken(state < RUNNING ? "REQUEST before READY" : "REQUEST after DRAIN");
        }
        if (id == 0) {
            throw leaving.protocolBroken("a request with id 0");
        }
        Message message = null;
        if (more || partial != null) {
            synchronized (this) {
                message = takePart(id, more);
            }
        }
        if (more || message != null && message.cancelled) {
            return null;
        }
        try {
            return message == null ? input.payload() : message.bytes();
        } catch (OutOfMemoryError e) {
            worker.heap.answer(id, e, "to read a request");
            return null;
        }
    }

    /**
     * Adds a frame to the message that it is part of, and returns that message; null for a frame that is
     * a whole one.
     */
    private Message takePart(long id, boolean more) {
        Message message = find(id);
        if (message == null) {
            if (!more) {
                return null;
            }
            if (partials >= 2 * threads + EXTRA) {
                throw leaving.protocolBroken("more than " + partials + " unfinished requests");
            }
            message = new Message(id);
            message.next = partial;
            partial = message;
            partials++;
        }
        if (!message.add(input)) {
            throw leaving.protocolBroken("request " + id + " is longer than " + Wire.MAX_MESSAGE + " bytes");
        }
        if (!more) {
            remove(message);
            if (message.cancelled) {
                answerCancelled(id);
            }
        }
        return message;
    }

    private Message find(long id) {
        Message message = partial;
        while (message != null && message.id != id) {
            message = message.next;
        }
        return message;
    }

    private void remove(Message gone) {
        partials--;
        if (partial == gone) {
            partial = gone.next;
            return;
        }
        Message before = partial;
        while (before.next != gone) {
            before = before.next;
        }
        before.next = gone.next;
    }

    private void answerCancelled(long id) {
        output.frame(Wire.RESPONSE, 0, 499, id, Wire.NOTHING, false);
    }

    /** Takes a frame that is no REQUEST for the leader; true where it does not lead any more. */
    private boolean takeOther(Caller me) {
        boolean done;
        boolean leads = true;
        synchronized (this) {
            takeOtherLocked();
            done = finished();
            if (state == DRAINING) { // what is still to come the control thread hands out
                leads = false;
                me.setAway();
                leader = null;
            }
        }
        if (done) {
            finish();
        }
        if (leads) {
            return false;
        }
        output.flush();
        LockSupport.unpark(worker.control);
        return true;
    }

    /** Takes a frame that is no REQUEST. Answers are appended, not sent. */
    private void takeOtherLocked() {
        switch (input.type) {
            case Wire.HELLO:
                if (state != WANT_HELLO) {
                    throw leaving.protocolBroken("a second HELLO");
                }
                takeHello();
                return;
            case Wire.START:
                if (state != WANT_START) {
                    throw leaving.protocolBroken("START at the wrong time");
                }
                takeStart();
                return;
            case Wire.PING:
                if (state == WANT_HELLO) {
                    throw leaving.protocolBroken("PING before HELLO");
                }
                output.frame(Wire.PONG, 0, 0, input.id, input.payload(), false);
                return;
            case Wire.CANCEL:
                if (state < LOADING) {
                    throw leaving.protocolBroken("CANCEL before START");
                }
                takeCancel(input.id);
                return;
            case Wire.DRAIN:
                if (state == WANT_HELLO) {
                    throw leaving.protocolBroken("DRAIN before HELLO");
                }
                if (state < DRAINING) {
                    state = DRAINING;
                }
                return;
            case Wire.READY:
            case Wire.FAILED:
            case Wire.RESPONSE:
            case Wire.PONG:
            case Wire.DRAINED:
                throw leaving.protocolBroken("a frame of type " + input.type + ", which only workers send");
            default: // unknown and optional
                return;
        }
    }

    private void takeHello() {
        Map<String, String> properties = Wire.properties(input.payload());
        if (properties == null) {
            throw leaving.protocolBroken("HELLO breaks off");
        }
        String version = properties.get("protocol");
        if (!Wire.VERSION.equals(version)) {
            throw leaving.protocolBroken("HELLO chooses version " + version + ", this host speaks " + Wire.VERSION);
        }
        state = WANT_START;
    }

    private void takeStart() {
        if (!start.add(input)) {
            throw leaving.protocolBroken("START is longer than " + Wire.MAX_MESSAGE + " bytes");
        }
        if ((input.flags & Wire.MORE) != 0) {
            return;
        }
        Map<String, String> properties = Wire.properties(start.bytes());
        if (properties == null) {
            throw leaving.protocolBroken("START breaks off");
        }
        String number = properties.get("threads");
        try {
            threads = number == null ? 1 : Integer.parseInt(number);
        } catch (NumberFormatException e) {
            threads = 0;
        }
        if (threads < 1 || threads > Wire.MAX_THREADS) {
            throw leaving.protocolBroken("START asks for " + number + " threads");
        }
        state = LOADING;
        worker.load(properties, threads);
    }

    /**
     * Drops a request that the processor has not seen. Of one that is still coming the rest is skipped,
     * and its answer follows the last frame.
     */
    private void takeCancel(long id) {
        Message message = find(id);
        if (message != null) {
            message.cancel();
            return;
        }
        for (Request request : pending) {
            if (request.id == id) {
                pending.remove(request);
                answerCancelled(id);
                return;
            }
        }
    }

    // ---- the end

    /**
     * Whether a drain is complete: then it is the caller's duty to call {@link #finish} without the lock.
     * Before READY nothing is waited for. The lock is held.
     */
    private boolean finished() {
        if (state != DRAINING || active > 0 || !pending.isEmpty() || partial != null) {
            return false;
        }
        state = FINISHED;
        leaving.begin();
        return true;
    }

    private void finish() {
        output.frame(Wire.DRAINED, 0, 0, 0, Wire.NOTHING, false);
        output.finish();
        leaving.end(Leaving.GONE);
    }
}
