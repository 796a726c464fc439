/** A Java that starts and ends. */
public final class Nothing {
    private Nothing() {
    }

    public static void main(String[] args) {
    }
}
