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
        for (Map.Entry<Thread, StackTraceElement[]> thread : getAllStackTraces().entrySet()) {
            if (says(thread.getKey(), thread.getValue())) {
                break;
            }
        }
        output.finish();
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
        StringBuilder text = new StringBuilder();
        for (int i = exit + 1; i < stack.length && !Traces.isHost(stack[i].getClassName()); i++) {
            if (i == exit + 1) {
                text.append(" at ").append(stack[i]);
            }
            text.append("\n\tat ").append(stack[i]);
        }
        Leaving.say("the processor called System.exit " + (where != null ? where : "in thread " + thread.getName()) + text);
        return true;
    }
}
