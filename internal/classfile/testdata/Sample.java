package com.example;

import java.nio.ByteBuffer;
import java.util.Map;

/** Has one of everything that the tests look for. */
public class Sample extends Base<byte[], String> implements Runnable, java.io.Serializable {
    private static final long serialVersionUID = 0x1122334455667788L;
    protected final double number = 1.5;

    public Sample(String modelEntry, String modelConfig) {
        System.out.println("/eas/workspace/model " + "caf\u00e9 \0 \ud83d\ude00");
    }

    private Sample(int[][] a, long b, Map.Entry<String, ByteBuffer> c) {}

    public byte[] Process(byte[] input) {
        return input;
    }

    @Override
    protected String of(byte[] input) {
        return "";
    }

    @Override
    public void run() {}

    public static class Nested {
        class Inner {}
    }
}

abstract class Base<I, O> {
    protected abstract O of(I input);
}
