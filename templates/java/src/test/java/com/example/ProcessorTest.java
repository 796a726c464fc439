package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Calls the processor as EAS does. */
class ProcessorTest {
    private Processor processor;

    @BeforeEach
    void load() throws IOException {
        processor = new Processor("model/weights.txt", "");
        processor.Load();
    }

    @Test
    void answers() {
        assertEquals("{\"score\":3.5}", ask("[1, 2, 3]"));
    }

    @Test
    void refusesWhatItDoesNotUnderstand() {
        for (String body : new String[] {"", "one", "[1, 2", "[\"one\", 2, 3]", "{\"score\": 1}"}) {
            RuntimeException e = assertThrows(IllegalArgumentException.class, () -> ask(body), body);
            assertEquals("expected a list of numbers", e.getMessage().split(",")[0]);
        }
        RuntimeException e = assertThrows(IllegalArgumentException.class, () -> ask("[1, 2]"));
        assertEquals("expected 3 numbers, got 2", e.getMessage());
    }

    /** EAS calls Process from several threads at the same time. */
    @Test
    void answersSeveralThreads() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(5);
        try {
            List<Future<String>> answers = threads.invokeAll(Collections.nCopies(1000, () -> ask("[1, 2, 3]")));
            for (Future<String> answer : answers) {
                assertEquals("{\"score\":3.5}", answer.get());
            }
        } finally {
            threads.shutdown();
        }
    }

    private String ask(String body) {
        return new String(processor.Process(body.getBytes(StandardCharsets.UTF_8)), StandardCharsets.UTF_8);
    }
}
