/** The smallest processor that does something with its input. */
public final class Echo {
    public Echo(String modelEntry, String modelConfig) {
    }

    public byte[] Process(byte[] input) {
        return input;
    }
}
