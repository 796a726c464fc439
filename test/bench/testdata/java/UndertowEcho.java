import io.undertow.Undertow;
import io.undertow.util.Headers;
import java.nio.ByteBuffer;

/** The peer without a framework: Undertow, in the threads that read from connections. Argument: the port. */
public final class UndertowEcho {
    private UndertowEcho() {
    }

    public static void main(String[] args) {
        Undertow.builder()
                .addHttpListener(Integer.parseInt(args[0]), "127.0.0.1")
                .setHandler(exchange -> exchange.getRequestReceiver().receiveFullBytes((received, body) -> {
                    received.getResponseHeaders().put(Headers.CONTENT_TYPE, "text/html; charset=utf-8");
                    received.getResponseSender().send(ByteBuffer.wrap(body));
                }))
                .build()
                .start();
    }
}
