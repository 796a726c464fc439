package eashost;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.SocketChannel;

/**
 * Opens the connection to the gateway: a Unix socket where this Java has them (16 and newer), which
 * sources for Java 8 reach by reflection only, and loopback TCP before.
 */
final class Connection {
    private static final String TCP = "tcp:";

    private Connection() {}

    /** Connects to what EASCMD_WORKER_SOCKET names: a path, or tcp:ADDRESS:PORT. */
    static SocketChannel open(String where) throws IOException {
        if (!where.startsWith(TCP)) {
            return SocketChannel.open(unix(where));
        }
        int colon = where.lastIndexOf(':');
        int port;
        try {
            port = Integer.parseInt(where.substring(colon + 1));
        } catch (NumberFormatException e) {
            throw new IOException("it names no port");
        }
        String host = where.substring(TCP.length(), Math.max(colon, TCP.length()));
        SocketChannel channel = SocketChannel.open();
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        channel.connect(new InetSocketAddress(host, port));
        return channel;
    }

    /** Returns the address of a Unix socket. */
    static SocketAddress unix(String path) throws IOException {
        try {
            return (SocketAddress) Class.forName("java.net.UnixDomainSocketAddress")
                    .getMethod("of", String.class)
                    .invoke(null, new File(path).getPath());
        } catch (ClassNotFoundException e) {
            throw new IOException("Java " + System.getProperty("java.version") + " has no Unix sockets");
        } catch (InvocationTargetException e) {
            throw new IOException(e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new IOException(e);
        }
    }
}
