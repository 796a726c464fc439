package com.example;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The fixture processor of the host's tests. The body of a request is a command and its arguments; the
 * suite in pkg/serving/hosttest lists what every language's fixture knows. It has more, about what goes
 * wrong in Java only.
 */
public class Fixture {
    private static final byte[] ECHO = bytes("echo ");
    private static final List<byte[]> KEPT = new ArrayList<>();
    private static final List<ByteBuffer> BUFFERS = new ArrayList<>();
    private static final List<Class<?>> LOADED = new ArrayList<>();

    private final String model;
    private final AtomicInteger inside = new AtomicInteger();
    private final AtomicInteger peak = new AtomicInteger();
    private int meeting; // guarded by this object's lock
    private volatile boolean loaded;

    public Fixture(String modelEntry, String modelConfig) {
        model = modelEntry + "|" + modelConfig;
        if (modelConfig.startsWith("constructor exit ")) {
            System.exit(Integer.parseInt(modelConfig.substring(17)));
        }
        if (modelConfig.equals("constructor interrupt")) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted");
        }
        if (modelConfig.startsWith("constructor throw ")) {
            throw new IllegalStateException(modelConfig.substring(18));
        }
    }

    public void Load() throws Exception {
        String config = model.substring(model.indexOf('|') + 1);
        int blank = config.indexOf(' ');
        String command = blank < 0 ? config : config.substring(0, blank);
        String argument = blank < 0 ? "" : config.substring(blank + 1);
        switch (command) {
            case "state":
                throw new IllegalArgumentException("the fixture fails with state " + argument);
            case "sleep":
                Thread.sleep(Integer.parseInt(argument));
                break;
            case "hang":
                for (;;) {
                    Thread.sleep(1000);
                }
            case "hang-with-lock": // on what a flush at the end needs
                synchronized (System.out) {
                    System.err.println("has the lock");
                    for (;;) {
                        Thread.sleep(1000);
                    }
                }
            case "exit":
                System.exit(Integer.parseInt(argument));
                break;
            case "print":
                System.out.println(argument);
                break;
            case "interrupt":
                Thread.currentThread().interrupt();
                break;
            case "oom":
                exhaust();
                break;
            default:
        }
        loaded = true;
    }

    public byte[] Process(byte[] input) throws Exception {
        if (startsWith(input, ECHO)) { // first, because it is what is measured
            return Arrays.copyOfRange(input, ECHO.length, input.length);
        }
        peak.accumulateAndGet(inside.incrementAndGet(), Math::max);
        try {
            String text = new String(input, 0, Math.min(input.length, 1000), StandardCharsets.UTF_8);
            int blank = text.indexOf(' ');
            return blank < 0 ? run(text, "", input) : run(text.substring(0, blank), text.substring(blank + 1), input);
        } finally {
            inside.decrementAndGet();
        }
    }

    private byte[] run(String command, String argument, byte[] input) throws Exception {
        switch (command) {
            case "":
                return bytes("empty");
            case "echo":
                return new byte[0];
            case "size":
                return bytes(Integer.toString(input.length));
            case "sleep":
                Thread.sleep(Integer.parseInt(argument));
                return bytes("slept");
            case "spin":
                for (long end = System.nanoTime() + Integer.parseInt(argument) * 1_000_000L; System.nanoTime() < end; ) {
                    // computes
                }
                return bytes("spun");
            case "meet":
                return meet(Integer.parseInt(argument));
            case "peak":
                return bytes(peak.toString());
            case "null":
                return null;
            case "big":
                byte[] big = new byte[Integer.parseInt(argument)];
                Arrays.fill(big, (byte) 'b');
                return big;
            case "model":
                return bytes(model);
            case "print":
                System.out.println(argument);
                return bytes("printed");
            case "print-unfinished":
                System.out.print(argument);
                return bytes("printed");
            case "env":
                String value = System.getenv(argument);
                if (value == null) {
                    throw new IllegalArgumentException("no variable " + argument);
                }
                return bytes(value);
            case "property":
                return bytes(String.valueOf(System.getProperty(argument)));
            case "pid":
                return bytes(new File("/proc/self").getCanonicalFile().getName());
            case "cwd":
                return bytes(System.getProperty("user.dir"));
            case "stdin":
                return bytes(Integer.toString(System.in.read()));
            case "child":
                return child();
            case "exit":
                System.exit(Integer.parseInt(argument));
                return null;
            case "loaded":
                return bytes(Boolean.toString(loaded));
            default:
                return runJava(command, argument);
        }
    }

    /** What goes wrong in Java only. */
    @SuppressWarnings("deprecation") // Proxy.getProxyClass, which Java 8 has no other way for
    private byte[] runJava(String command, String argument) throws Exception {
        switch (command) {
            case "throw":
                throw new IllegalStateException(argument);
            case "throw-checked":
                throw new IOException(argument, new IllegalStateException("the cause"));
            case "throw-null":
                throw new IllegalStateException();
            case "throw-error":
                throw new AssertionError(argument);
            case "throw-hostile":
                throw new RuntimeException() {
                    private static final long serialVersionUID = 1;

                    @Override
                    public String getMessage() {
                        throw new IllegalStateException("no message");
                    }
                };
            case "overflow":
                return bytes(Integer.toString(descend(0)));
            case "oom":
                exhaust();
                return bytes("enough memory");
            case "oom-hidden":
                try {
                    exhaust();
                } catch (OutOfMemoryError e) {
                    throw new IllegalStateException("wrapped", e);
                }
                return bytes("enough memory");
            case "leak":
                for (;;) {
                    KEPT.add(new byte[Integer.parseInt(argument)]);
                }
            case "leak-direct":
                for (;;) {
                    BUFFERS.add(ByteBuffer.allocateDirect(Integer.parseInt(argument)));
                }
            case "metaspace":
                for (;;) {
                    ClassLoader loader = new ClassLoader(Fixture.class.getClassLoader()) {};
                    LOADED.add(Proxy.getProxyClass(loader, Runnable.class));
                }
            case "oom-in-thread": // which is not the worker's business
                Thread greedy = new Thread("the-greedy") {
                    @Override
                    public void run() {
                        exhaust();
                    }
                };
                greedy.start();
                greedy.join();
                return bytes("over");
            case "exit-by-reflection":
                System.class.getMethod("exit", int.class).invoke(null, Integer.parseInt(argument));
                return null;
            case "exit-in-virtual-thread":
                Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, (Runnable) () -> System.exit(Integer.parseInt(argument)));
                return null;
            case "exit-in-thread":
                Thread thread = new Thread("the-exiter") {
                    @Override
                    public void run() {
                        System.exit(Integer.parseInt(argument));
                    }
                };
                thread.start();
                thread.join();
                return null;
            case "interrupt":
                Thread.currentThread().interrupt();
                return bytes("interrupted");
            case "interrupt-later":
                interruptLater(Thread.currentThread(), Integer.parseInt(argument));
                return bytes("soon");
            case "interrupt-all":
                Thread[] all = new Thread[1000];
                for (int i = Thread.enumerate(all) - 1; i >= 0; i--) {
                    all[i].interrupt();
                }
                return bytes("all");
            case "interrupted":
                return bytes(Boolean.toString(Thread.currentThread().isInterrupted()));
            case "interruptible": // an interrupt reaches the processor's own code
                interruptLater(Thread.currentThread(), 1);
                try {
                    Thread.sleep(60_000);
                    return bytes("slept");
                } catch (InterruptedException e) {
                    return bytes("woken");
                }
            case "loaders":
                return bytes(loaders());
            case "host":
                Class.forName("eashost.Main", false, Thread.currentThread().getContextClassLoader());
                return bytes("seen");
            default:
                throw new IllegalArgumentException("unknown command");
        }
    }

    private String loaders() {
        ClassLoader own = Fixture.class.getClassLoader();
        ClassLoader context = Thread.currentThread().getContextClassLoader();
        return own == context ? "the same" : own + " is not " + context;
    }

    private synchronized byte[] meet(int n) throws InterruptedException {
        meeting++;
        notifyAll();
        long end = System.nanoTime() + 30_000_000_000L;
        while (meeting < n) {
            long left = (end - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                throw new IllegalStateException("nobody came");
            }
            wait(left);
        }
        return bytes("met");
    }

    private static byte[] child() throws Exception {
        // Java 8 does not tell the id of a process.
        Process child = new ProcessBuilder("/bin/sh", "-c", "echo $$; exec sleep 1000 >&-").start();
        byte[] line = new byte[100];
        int n = 0;
        for (int c = child.getInputStream().read(); c != '\n'; c = child.getInputStream().read()) {
            line[n++] = (byte) c;
        }
        return Arrays.copyOf(line, n);
    }

    private static int descend(int depth) {
        return descend(depth + 1) + 1;
    }

    private static void exhaust() {
        List<byte[]> all = new ArrayList<>();
        for (;;) {
            all.add(new byte[8 << 20]);
        }
    }

    private static void interruptLater(Thread thread, int times) {
        new Thread("the-interrupter") {
            @Override
            public void run() {
                try {
                    for (int i = 0; i < times; i++) {
                        Thread.sleep(1);
                        thread.interrupt();
                    }
                } catch (InterruptedException e) {
                    // The end.
                }
            }
        }.start();
    }

    private static boolean startsWith(byte[] text, byte[] prefix) {
        if (text.length < prefix.length) {
            return false;
        }
        for (int i = 0; i < prefix.length; i++) {
            if (text[i] != prefix[i]) {
                return false;
            }
        }
        return true;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
