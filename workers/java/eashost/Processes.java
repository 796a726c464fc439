package eashost;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.stream.Stream;

/** What this process knows of itself and of the processes that it started. */
final class Processes {
    private static final int OOM_SCORE = 500;
    private static final long KILL = 2000; // milliseconds

    private Processes() {}

    /** Returns this process's id. */
    static String id() {
        try {
            // Java 8 has no other way but one of 50 ms.
            String name = new File("/proc/self").getCanonicalFile().getName();
            if (isNumber(name)) {
                return name;
            }
        } catch (IOException e) {
            // There is no /proc.
        }
        try {
            return handle().getMethod("pid").invoke(current()).toString();
        } catch (ReflectiveOperationException e) {
            String name = java.lang.management.ManagementFactory.getRuntimeMXBean().getName();
            return name.substring(0, Math.max(name.indexOf('@'), 0));
        }
    }

    /**
     * When memory is short the kernel is to end this process and not the gateway, which can say what
     * happened.
     */
    static void volunteerForOOM() {
        File file = new File("/proc/self/oom_score_adj");
        try {
            if (file.exists() && Integer.parseInt(read(file).trim()) < OOM_SCORE) {
                try (FileOutputStream out = new FileOutputStream(file)) {
                    out.write("500".getBytes(StandardCharsets.US_ASCII));
                }
            }
        } catch (IOException | NumberFormatException e) {
            // Then the kernel chooses.
        }
    }

    /**
     * Ends this process with its process group, where it leads one, or returns. What Java has no call
     * for a shell does: its "kill 0" reaches the whole group at once, this process included.
     */
    static void endGroup() {
        try {
            if (!leadsGroup()) {
                return;
            }
            new ProcessBuilder("/bin/sh", "-c", "kill -9 0").start();
            Leaving.pause(KILL);
        } catch (Throwable e) {
            // No shell, no memory, or no room for another process.
        }
        endDescendants();
    }

    private static boolean leadsGroup() throws IOException, InterruptedException {
        File stat = new File("/proc/self/stat");
        if (stat.exists()) {
            // pid (name) state ppid pgrp; the name may hold anything.
            String text = read(stat);
            int name = text.lastIndexOf(')');
            String id = text.substring(0, text.indexOf(' '));
            String[] fields = text.substring(name + 2).split(" ", 4);
            return id.equals(fields[2]);
        }
        if (!new File("/bin/sh").exists()) {
            return true; // Windows: what it started is ended one by one
        }
        Process shell = new ProcessBuilder("/bin/sh", "-c", "[ $(ps -o pgid= -p $PPID) = $PPID ]").start();
        return shell.waitFor() == 0;
    }

    /** Java 9 and newer know the processes that this one started. */
    private static void endDescendants() {
        try {
            Iterator<?> all = ((Stream<?>) handle().getMethod("descendants").invoke(current())).iterator();
            while (all.hasNext()) {
                handle().getMethod("destroyForcibly").invoke(all.next());
            }
        } catch (ReflectiveOperationException | LinkageError e) {
            // What this process started lives on.
        }
    }

    private static Class<?> handle() throws ClassNotFoundException {
        return Class.forName("java.lang.ProcessHandle");
    }

    private static Object current() throws ReflectiveOperationException {
        return handle().getMethod("current").invoke(null);
    }

    private static boolean isNumber(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (text.charAt(i) < '0' || text.charAt(i) > '9') {
                return false;
            }
        }
        return !text.isEmpty();
    }

    private static String read(File file) throws IOException {
        byte[] bytes = new byte[4096];
        try (FileInputStream in = new FileInputStream(file)) {
            int n = in.read(bytes);
            return new String(bytes, 0, Math.max(n, 0), StandardCharsets.US_ASCII);
        }
    }
}
