package eashost;

/**
 * A thread of the host that never runs the processor's code. Interrupting it has no effect: an
 * interrupt closes the channel that a thread reads from or writes to, and a processor that interrupts
 * every thread it can find is not to close the connection.
 */
abstract class Background extends Thread {
    Background(String name) {
        super(name);
    }

    @Override
    public void interrupt() {}
}
