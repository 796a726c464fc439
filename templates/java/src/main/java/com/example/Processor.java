package com.example;

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;

/**
 * A processor that scores a row of numbers with a linear model. It is small on purpose: replace the
 * model and the score with your own, and keep the frame.
 *
 * <p>EAS makes one object of this class and calls {@link #Load} once. Then it calls {@link #Process}
 * for every request, from several threads at the same time. It finds these methods by their names,
 * which therefore begin with a capital.
 */
public class Processor {
    private static final Gson GSON = new Gson();

    private final Path file;

    // One weight per input. Written by Load, before any thread calls Process, and
    // only read afterwards: threads share it without a lock.
    private double[] weights;

    /**
     * Called once, before everything else. An exception refuses to start the service.
     *
     * @param modelEntry the path of "model_entry" of service.json inside the model; of the model
     *     itself where that is empty
     * @param modelConfig the text of "model_config"; empty where there is none
     */
    public Processor(String modelEntry, String modelConfig) {
        file = Paths.get(modelEntry);
    }

    /** Loads the model. Called once, after the constructor; it may be left out. */
    public void Load() throws IOException {
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8).trim();
        try {
            weights = numbers(text.split("\\s+"));
        } catch (NumberFormatException e) {
            throw new IOException(file + " does not hold a list of numbers", e);
        }
        System.out.println("loaded a model of " + weights.length + " weights");
    }

    /**
     * Answers one request.
     *
     * @param input the body of the request
     * @return the body of the answer, which is sent with the status 200
     * @throws RuntimeException to refuse the request: it is answered 400 with the exception's
     *     message, and the stack trace is in the log. There is no way to another status.
     */
    public byte[] Process(byte[] input) {
        double[] row = parse(new String(input, StandardCharsets.UTF_8));
        String answer = GSON.toJson(Collections.singletonMap("score", score(row)));
        return answer.getBytes(StandardCharsets.UTF_8);
    }

    private double score(double[] row) {
        if (row.length != weights.length) {
            throw new IllegalArgumentException("expected " + weights.length + " numbers, got " + row.length);
        }
        double sum = 0;
        for (int i = 0; i < row.length; i++) {
            sum += weights[i] * row[i];
        }
        return sum;
    }

    private static double[] parse(String body) {
        double[] row;
        try {
            row = GSON.fromJson(body, double[].class);
        } catch (JsonParseException | NumberFormatException e) {
            throw new IllegalArgumentException("expected a list of numbers, such as [1, 2, 3]", e);
        }
        if (row == null) {
            throw new IllegalArgumentException("expected a list of numbers, got nothing");
        }
        return row;
    }

    private static double[] numbers(String[] words) {
        double[] numbers = new double[words.length];
        for (int i = 0; i < words.length; i++) {
            numbers[i] = Double.parseDouble(words[i]);
        }
        return numbers;
    }
}
