package eashost;

/** The processor cannot be loaded: what FAILED says. */
final class Failure extends Exception {
    private static final long serialVersionUID = 1;

    /** What to do about it; may be empty. */
    final String hint;

    Failure(String message, String hint) {
        super(message, null, false, false);
        this.hint = hint;
    }
}
