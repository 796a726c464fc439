package eashost;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/**
 * Loads what a start and a first request need and ends the process, for a JVM that writes what it has
 * loaded to an archive at its end. It does so in the only way that misses nothing: it is a gateway to a
 * worker in the same process.
 */
final class Warm extends Background {
    private static final int REQUESTS = 100;

    private final ServerSocketChannel server;
    private final String jar;

    private Warm(ServerSocketChannel server, String jar) {
        super("eashost-warm");
        this.server = server;
        this.jar = jar;
    }

    /** Returns when the worker has started; the process ends by itself, with exit status 0. */
    static void up() throws Exception {
        String jar = new File(new URI(Main.class.getProtectionDomain().getCodeSource().getLocation().toString())).getPath();
        File socket = File.createTempFile("eashost", ".sock");
        ServerSocketChannel server;
        String where;
        try {
            if (!socket.delete()) {
                throw new IOException(socket + " cannot be removed");
            }
            server = unix(socket.getPath());
            if (server != null) {
                where = socket.getPath();
            } else {
                server = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
                where = "tcp:127.0.0.1:" + ((InetSocketAddress) server.getLocalAddress()).getPort();
            }
            new Warm(server, jar).start();
            Variables variables = new Variables(where, "1", "warm");
            new Worker(Connection.open(variables.socket)).begin(variables);
        } finally {
            socket.delete();
        }
    }

    /** Listens on a Unix socket; null where this Java has none, or the path is too long for one. */
    private static ServerSocketChannel unix(String path) {
        try {
            ProtocolFamily family = Enum.valueOf(StandardProtocolFamily.class, "UNIX");
            ServerSocketChannel server = (ServerSocketChannel)
                    ServerSocketChannel.class.getMethod("open", ProtocolFamily.class).invoke(null, family);
            SocketAddress address = Connection.unix(path);
            return server.bind(address);
        } catch (ReflectiveOperationException | IOException | IllegalArgumentException e) {
            return null;
        }
    }

    @Override
    public void run() {
        try (SocketChannel channel = server.accept()) {
            receive(channel, Wire.HELLO);
            send(channel, Wire.HELLO, 0, Wire.properties("protocol", Wire.VERSION, "features", ""));
            send(channel, Wire.START, 0, Wire.properties("class_path", jar, "main_class", Echo.class.getName(),
                    "model_entry", "", "model_config", "", "threads", "2"));
            receive(channel, Wire.READY);
            for (int id = 1; id <= REQUESTS; id++) {
                send(channel, Wire.REQUEST, id, new byte[100]);
                receive(channel, Wire.RESPONSE);
            }
            send(channel, Wire.DRAIN, 0, Wire.NOTHING);
            receive(channel, Wire.DRAINED);
            Leaving.pause(60_000); // the worker ends the process
        } catch (IOException e) {
            Leaving.say("cannot warm up: " + e.getMessage());
        }
        Leaving.halt(Leaving.USAGE);
    }

    private static void send(SocketChannel channel, int type, long id, byte[] payload) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(Wire.HEADER + payload.length).order(ByteOrder.LITTLE_ENDIAN);
        frame.putLong(payload.length | (long) type << 32).putLong(id).put(payload);
        frame.flip();
        while (frame.hasRemaining()) {
            channel.write(frame);
        }
    }

    private static void receive(SocketChannel channel, int type) throws IOException {
        ByteBuffer header = fill(channel, Wire.HEADER);
        fill(channel, header.getInt(0));
        if (header.get(4) != type) {
            throw new IOException("frame of type " + header.get(4) + " instead of " + type);
        }
    }

    private static ByteBuffer fill(SocketChannel channel, int size) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new IOException("the worker is gone");
            }
        }
        return buffer;
    }

    /** The processor that is called. */
    public static final class Echo {
        public Echo(String modelEntry, String modelConfig) {}

        public void Load() {}

        public byte[] Process(byte[] input) {
            return input;
        }
    }
}
