package eashost;

import java.util.Map;

/**
 * Runs when the processor ends the process by System.exit, or a signal does: sends the answers that
 * were given before, and says who it was.
 */
final class ExitHook extends Background {
    private final Output output;
    private final Leaving leaving;

    ExitHook(Output output, Leaving leaving) {
        super("eashost-exit");
        this.output = output;
        this.leaving = leaving;
    }

    @Override
    public void run() {
        if (leaving.begun()) {
            return;
        }
        boolean explained = false;
        for (Map.Entry<Thread, StackTraceElement[]> thread : getAllStackTraces().entrySet()) {
            if (isOfSignal(thread.getKey()) || says(thread.getKey(), thread.getValue())) {
                explained = true;
                break;
            }
        }
        if (!explained && hasVirtualThreads()) { // which are not among all threads
            Leaving.say("the processor called System.exit in a virtual thread");
        }
        output.finish();
    }

    /** Whether a thread is that in which Java handles a signal. */
    private static boolean isOfSignal(Thread thread) {
        String name = thread.getName();
        return name.startsWith("SIG") && name.endsWith(" handler");
    }

    private static boolean hasVirtualThreads() {
        try {
            Thread.class.getMethod("isVirtual");
            return true;
        } catch (NoSuchMethodException e) {
            return false;
        }
    }

    /** Says what a thread did where it is the one that ends the process. */
    private static boolean says(Thread thread, StackTraceElement[] stack) {
        int exit = -1;
        boolean runsHooks = false; // a second thread may wait for the first one's end
        for (int i = 0; i < stack.length; i++) {
            String name = stack[i].getClassName();
            if (name.equals("java.lang.ApplicationShutdownHooks")) {
                runsHooks = true;
            } else if ((name.equals("java.lang.Runtime") || name.equals("java.lang.System")) && stack[i].getMethodName().equals("exit")) {
                exit = i;
            } else if (exit >= 0) {
                break;
            }
        }
        if (!runsHooks || exit < 0) {
            return false;
        }
        String where = thread instanceof Caller ? ((Caller) thread).where() : null;
        int end = exit + 1;
        while (end < stack.length && !Traces.isHost(stack[end].getClassName())) {
            end++;
        }
        if (end < stack.length) {
            while (end > exit + 1 && Traces.isReflection(stack[end - 1].getClassName())) {
                end--; // how the host called
            }
        }
        int user = exit + 1; // the place to name, which may have got there by way of Java's own classes
        while (user < end && Traces.isJava(stack[user].getClassName())) {
            user++;
        }
        StringBuilder text = new StringBuilder();
        if (user < end) {
            text.append(" at ").append(stack[user]);
        }
        for (int i = exit + 1; i < end; i++) {
            text.append("\n\tat ").append(stack[i]);
        }
        Leaving.say("the processor called System.exit " + (where != null ? where : "in thread " + thread.getName()) + text);
        return true;
    }
}
