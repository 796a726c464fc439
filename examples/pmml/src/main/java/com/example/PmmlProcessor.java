package com.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import com.google.gson.ToNumberPolicy;
import com.google.gson.reflect.TypeToken;
import java.io.File;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jpmml.evaluator.Evaluator;
import org.jpmml.evaluator.EvaluatorUtil;
import org.jpmml.evaluator.InputField;
import org.jpmml.evaluator.LoadingModelEvaluatorBuilder;

/**
 * Scores rows with a PMML model, whichever it is: it asks the model for the fields that it takes and
 * gives.
 *
 * <p>A request is a list of objects, one a row, with the model's input fields. The answer is a list
 * of objects with what the model says of each.
 */
public class PmmlProcessor {
    private static final Type ROWS = new TypeToken<List<Map<String, Object>>>() {}.getType();

    // A field without a value is part of the answer, too.
    private static final Gson GSON = new GsonBuilder()
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
            .serializeNulls()
            .create();

    private final File file;

    // Threads share it without a lock: evaluating changes nothing in it.
    private Evaluator evaluator;

    public PmmlProcessor(String modelEntry, String modelConfig) {
        file = new File(modelEntry);
    }

    public void Load() throws Exception {
        evaluator = new LoadingModelEvaluatorBuilder().load(file).build();
        // Evaluates the rows that the model brings along, where it does, and compares.
        evaluator.verify();
        System.out.println("loaded " + evaluator.getSummary() + ", which takes " + names());
    }

    public byte[] Process(byte[] input) {
        List<Map<String, Object>> rows = parse(new String(input, StandardCharsets.UTF_8));
        List<Map<String, ?>> answer = new ArrayList<>(rows.size());
        for (Map<String, Object> row : rows) {
            answer.add(EvaluatorUtil.decodeAll(evaluator.evaluate(arguments(row))));
        }
        return GSON.toJson(answer).getBytes(StandardCharsets.UTF_8);
    }

    private static List<Map<String, Object>> parse(String body) {
        JsonParseException cause = null;
        try {
            List<Map<String, Object>> rows = GSON.fromJson(body, ROWS);
            if (rows != null && !rows.contains(null)) {
                return rows;
            }
        } catch (JsonParseException e) {
            cause = e; // the log tells where; the client knows JSON
        }
        throw new IllegalArgumentException("the body has to be a list of objects, in JSON", cause);
    }

    /** Returns a row as the model takes it, with its types and its treatment of what is missing. */
    private Map<String, Object> arguments(Map<String, Object> row) {
        Map<String, Object> arguments = new HashMap<>();
        for (InputField field : evaluator.getInputFields()) {
            String name = field.getName();
            arguments.put(name, field.prepare(row.get(name)));
        }
        if (!arguments.keySet().containsAll(row.keySet())) {
            throw new IllegalArgumentException("the model takes " + names() + ", not " + row.keySet());
        }
        return arguments;
    }

    private List<String> names() {
        List<String> names = new ArrayList<>();
        for (InputField field : evaluator.getInputFields()) {
            names.add(field.getName());
        }
        return names;
    }
}
