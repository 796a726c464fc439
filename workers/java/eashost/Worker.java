package eashost;

import java.nio.channels.SocketChannel;
import java.util.Map;

/** This process as a worker: its parts, and what happens from HELLO to the answers. */
final class Worker {
    final Lead lead;
    final Control control;
    final Heap heap;

    private final Output output;
    private final Leaving leaving = new Leaving();
    private volatile Processor processor;
    private volatile Map<String, String> start;
    private volatile int threads;

    Worker(SocketChannel channel) {
        output = new Output(channel, leaving);
        lead = new Lead(this, new Input(channel, leaving), output, leaving);
        heap = new Heap(output, leaving);
        control = new Control(this);
    }

    /** Sends HELLO and starts the thread that reads what follows. */
    void begin(Variables variables) {
        output.frame(Wire.HELLO, 0, 0, 0, Wire.properties(
                "protocol.min", Wire.VERSION,
                "protocol.max", Wire.VERSION,
                "features", "",
                "worker", variables.id,
                "key", variables.key,
                "pid", Processes.id(),
                "host", Main.NAME), false);
        output.flush();
        Processes.volunteerForOOM();
        Runtime.getRuntime().addShutdownHook(new ExitHook(output, leaving));
        control.start();
    }

    /** START has come: the processor is loaded by the first of the threads that will call it. */
    void load(Map<String, String> start, int threads) {
        this.start = start;
        this.threads = threads;
        new Caller(this, 1).start();
    }

    /** The life of a thread that calls the processor. */
    void run(Caller me, boolean loads) {
        try {
            if (loads) {
                load(me);
            }
            lead.serve(me);
        } catch (Throwable t) {
            broken(t);
        }
    }

    private void load(Caller me) {
        try {
            ClassLoader loader = Processor.loader(start);
            System.setProperty("java.class.path", Processor.classPathProperty(start));
            me.setContextClassLoader(loader);
            processor = Processor.load(start, loader, me);
            for (int number = 2; number <= threads; number++) {
                startCaller(number, loader);
            }
        } catch (Failure e) {
            fail(e);
        }
        lead.ready();
    }

    private void startCaller(int number, ClassLoader loader) throws Failure {
        try {
            Caller caller = new Caller(this, number);
            caller.setContextClassLoader(loader);
            caller.start();
        } catch (OutOfMemoryError e) { // which is what Java makes of any limit on threads
            throw new Failure("thread " + number + " of " + threads + " cannot be started: " + e.getMessage(),
                    "lower rpc.worker_threads, or raise the limit of processes");
        }
    }

    private void fail(Failure e) {
        leaving.begin();
        output.message(Wire.FAILED, 0, 0, 0, Wire.properties("state", "0", "message", e.getMessage(), "hint", e.hint));
        output.finish();
        leaving.end(Leaving.FAILED);
    }

    /** Serves a request and appends its answer; returns how many bytes wait to be sent. */
    int answer(Caller me, long id, byte[] body) {
        int flags = 0;
        int status = 200;
        byte[] answer;
        Throwable thrown = null;
        try {
            me.enter("in Process");
            try {
                answer = processor.call(body);
            } finally {
                me.leave();
            }
            heap.suffices();
        } catch (OutOfMemoryError e) {
            heap.answer(id, e, "in Process");
            return Output.BATCH;
        } catch (Throwable t) {
            thrown = t;
            flags = Wire.EXCEPTION;
            status = 400;
            Leaving.print(Traces.trace(t));
            answer = Wire.utf8(Traces.message(t));
        }
        int waiting = 0;
        if (answer.length <= Output.SMALL) {
            waiting = output.frame(Wire.RESPONSE, flags, status, id, answer, true);
        } else {
            output.message(Wire.RESPONSE, flags, status, id, answer);
        }
        if (thrown != null) {
            checkMemory(thrown);
        }
        return waiting;
    }

    /** An exception may hide that memory ran out. */
    private void checkMemory(Throwable t) {
        for (int depth = 0; t != null && depth < 20; t = t.getCause(), depth++) {
            if (t instanceof OutOfMemoryError) {
                heap.check((OutOfMemoryError) t, "in Process");
                return;
            }
        }
    }

    /** A thread of the host's own cannot go on. */
    void broken(Throwable t) {
        int status = Leaving.BROKEN;
        try {
            if (t instanceof OutOfMemoryError) {
                status = Leaving.NO_MEMORY;
                heap.endHost((OutOfMemoryError) t);
            }
            Leaving.say("the host is broken: " + Traces.trace(t));
        } finally {
            Leaving.halt(status);
        }
    }
}
