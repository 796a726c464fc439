import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;

/**
 * Says of each processor on standard input whether Java can use it: a line is the name of its class and
 * the paths of its class path, separated by tabs. An answer is "ok" or what Java threw.
 */
public class Ask {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String answer = "ok";
            try {
                use(line.split("\t"));
            } catch (Throwable t) {
                answer = t.toString().replace('\n', ' ');
            }
            System.out.println(answer);
        }
    }

    private static void use(String[] words) throws Exception {
        URL[] urls = new URL[words.length - 1];
        for (int i = 0; i < urls.length; i++) {
            urls[i] = new File(words[i + 1]).toURI().toURL();
        }
        try (URLClassLoader loader = new URLClassLoader(urls, ClassLoader.getSystemClassLoader().getParent())) {
            Class<?> type = Class.forName(words[0], true, loader);
            Constructor<?> constructor = type.getConstructor(String.class, String.class);
            constructor.setAccessible(true); // the class need not be public
            Object processor = constructor.newInstance("/model", "");
            Method process;
            Object input = new byte[] {'a'};
            try {
                process = type.getMethod("Process", byte[].class);
            } catch (NoSuchMethodException e) {
                process = type.getMethod("Process", String.class);
                input = "a";
            }
            if (Modifier.isStatic(process.getModifiers())) {
                throw new IllegalStateException("static");
            }
            Class<?> result = process.getReturnType();
            if (result != byte[].class && result != String.class) {
                throw new IllegalStateException("returns " + result);
            }
            process.setAccessible(true);
            process.invoke(processor, input);
        }
    }
}
