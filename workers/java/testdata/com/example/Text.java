package com.example;

/** A processor that takes and returns text, is not public itself, and has no Load. */
class Text {
    public Text(String modelEntry, String modelConfig) {}

    public String Process(String input) {
        return input.equals("null") ? null : input.length() + ":" + input;
    }
}
