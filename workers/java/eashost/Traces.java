package eashost;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;

/** Says in words what was thrown. */
final class Traces {
    /** A longer trace, that of an endless recursion, is cut in the middle. */
    private static final int LINES = 120;

    private static final String FRAME = "\tat ";

    private Traces() {}

    /**
     * Returns what a client is told: an exception's message, which the processor's author has written
     * for the client, and the whole of an error, which nobody has.
     */
    static String message(Throwable t) {
        try {
            if (!(t instanceof Error)) {
                String message = t.getMessage();
                if (message != null) {
                    return message;
                }
                return t.getClass().getName();
            }
            return t.toString();
        } catch (Throwable inMessage) {
            return t.getClass().getName();
        }
    }

    /** Returns the class and the message, and where it came from in the user's code. */
    static String describe(Throwable t) {
        String text;
        try {
            text = t.toString();
        } catch (Throwable inMessage) {
            text = t.getClass().getName();
        }
        for (StackTraceElement frame : t.getStackTrace()) {
            if (isHost(frame.getClassName())) {
                break;
            }
            if (!isJava(frame.getClassName())) {
                return text + " at " + frame;
            }
        }
        return text;
    }

    /** Returns the stack trace without the frames of the host. */
    static String trace(Throwable t) {
        StringWriter text = new StringWriter();
        try {
            t.printStackTrace(new PrintWriter(text, true));
        } catch (Throwable inMessage) {
            return t.getClass().getName() + ", whose stack trace cannot be printed: " + inMessage.getClass().getName() + "\n";
        }
        List<String> lines = new ArrayList<>();
        for (String line : text.toString().split("\r?\n")) {
            if (!line.startsWith(FRAME + "eashost.")) {
                lines.add(line);
                continue;
            }
            // The host called by way of reflection.
            while (!lines.isEmpty() && isReflectionLine(lines.get(lines.size() - 1))) {
                lines.remove(lines.size() - 1);
            }
        }
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < lines.size(); i++) {
            if (lines.size() > LINES && i == LINES / 2) {
                int more = lines.size() - LINES;
                out.append("\t... ").append(more).append(" more lines\n");
                i += more;
            }
            out.append(lines.get(i)).append('\n');
        }
        return out.toString();
    }

    /** Whether a class is part of the Java platform. */
    static boolean isJava(String name) {
        return name.startsWith("java.") || name.startsWith("javax.") || name.startsWith("jdk.") || name.startsWith("sun.")
                || name.startsWith("com.sun.");
    }

    static boolean isHost(String name) {
        return name.startsWith("eashost.");
    }

    /** Whether a class is one that Java calls methods with whose names are not in the code. */
    static boolean isReflection(String name) {
        return name.startsWith("java.lang.reflect.") || name.startsWith("java.lang.invoke.")
                || name.startsWith("jdk.internal.reflect.") || name.startsWith("sun.reflect.");
    }

    private static boolean isReflectionLine(String line) {
        if (!line.startsWith(FRAME)) {
            return false;
        }
        String frame = line.substring(FRAME.length());
        String module = "java.base/";
        return isReflection(frame.startsWith(module) ? frame.substring(module.length()) : frame);
    }
}
