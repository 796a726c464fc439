package com.example;

/** Processors that cannot be loaded. */
public final class Bad {
    private Bad() {}

    public static class NoConstructor {
        public byte[] Process(byte[] input) {
            return input;
        }
    }

    public static class PrivateConstructor {
        PrivateConstructor(String modelEntry, String modelConfig) {}

        public byte[] Process(byte[] input) {
            return input;
        }
    }

    public abstract static class Abstract {
        public Abstract(String modelEntry, String modelConfig) {}

        public abstract byte[] Process(byte[] input);
    }

    public class Inner {
        public Inner(String modelEntry, String modelConfig) {}

        public byte[] Process(byte[] input) {
            return input;
        }
    }

    public static class NoProcess {
        public NoProcess(String modelEntry, String modelConfig) {}

        byte[] Process(byte[] input) {
            return input;
        }
    }

    public static class OtherResult {
        public OtherResult(String modelEntry, String modelConfig) {}

        public int Process(byte[] input) {
            return input.length;
        }
    }

    public static class StaticProcess {
        public StaticProcess(String modelEntry, String modelConfig) {}

        public static byte[] Process(byte[] input) {
            return input;
        }
    }

    public static class StaticInitializer {
        private static final int NUMBER = Integer.parseInt("no number");

        public StaticInitializer(String modelEntry, String modelConfig) {}

        public byte[] Process(byte[] input) {
            return new byte[NUMBER];
        }
    }

    /** The test removes this class. */
    public static class Library {}

    public static class NeedsLibrary {
        public NeedsLibrary(String modelEntry, String modelConfig) {
            new Library();
        }

        public byte[] Process(byte[] input) {
            return input;
        }
    }

    public static class NeedsNativeLibrary {
        public NeedsNativeLibrary(String modelEntry, String modelConfig) {
            System.loadLibrary("not-here");
        }

        public byte[] Process(byte[] input) {
            return input;
        }
    }
}
