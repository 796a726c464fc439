package eashost;

import java.io.IOException;
import java.nio.channels.SocketChannel;

/**
 * The host for Java processors: it loads a processor's class and calls its method Process for every
 * request that the gateway sends, as docs/worker-protocol.md specifies.
 *
 * <p>It has no dependencies and is written for Java 8; what is newer it reaches by reflection. Its
 * start is part of every start of a service: nothing on that way uses what is expensive to begin with
 * in Java, which are lambdas, regular expressions, formatting and streams.
 *
 * <p>{@link Lead} says which thread does what.
 */
public final class Main {
    static final String NAME = "eashost-java";

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 1 && arguments[0].equals("--version")) {
            System.out.println(NAME + " protocol " + Wire.VERSION + "-" + Wire.VERSION);
            return;
        }
        if (arguments.length == 1 && arguments[0].equals("--warm")) {
            Warm.up();
            return;
        }
        SocketChannel channel;
        Variables variables;
        try {
            variables = Variables.read();
        } catch (IOException e) {
            Leaving.say(String.valueOf(e.getMessage()));
            Leaving.halt(Leaving.USAGE);
            return;
        }
        try {
            channel = Connection.open(variables.socket);
        } catch (IOException | RuntimeException e) {
            Leaving.say("cannot connect to " + variables.socket + ": " + e.getMessage());
            Leaving.halt(Leaving.USAGE);
            return;
        }
        new Worker(channel).begin(variables);
    }
}
