package eashost;

/** A complete request that one thread has read and another one serves. */
final class Request {
    final long id;
    final byte[] body;

    Request(long id, byte[] body) {
        this.id = id;
        this.body = body;
    }
}
