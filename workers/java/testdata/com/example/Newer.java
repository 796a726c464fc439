package com.example;

/** The test makes this class one for a Java that is still to come. */
public final class Newer {
    private Newer() {}
}
