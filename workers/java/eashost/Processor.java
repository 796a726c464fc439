package eashost;

import java.io.File;
import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.zip.ZipFile;

/**
 * The user's processor: one object, whose method Process several threads call at the same time.
 *
 * <p>Its classes come from a class loader of their own, whose parent is the one of the Java platform:
 * they do not see the host's classes, and the host does not see theirs.
 */
final class Processor {
    private static final String IN_PACKAGE = "add the jar that holds it to the package, or build one jar with all dependencies";

    private static final MethodType CALL = MethodType.methodType(Object.class, Object.class);

    /** Process, bound to the object, as a method from Object to Object. */
    private final MethodHandle process;

    /** Process takes and returns text, not bytes. */
    private final boolean text;

    private Processor(MethodHandle process, boolean text) {
        this.process = process;
        this.text = text;
    }

    /** Calls Process. The answer to null is an empty one. */
    byte[] call(byte[] body) throws Throwable {
        Object in = text ? new String(body, StandardCharsets.UTF_8) : body;
        Object out = (Object) process.invokeExact(in);
        if (out instanceof byte[]) {
            return (byte[]) out;
        }
        return out == null ? Wire.NOTHING : Wire.utf8((String) out);
    }

    /** Makes the class loader for what START says. */
    static ClassLoader loader(Map<String, String> start) throws Failure {
        String[] paths = classPath(start);
        URL[] urls = new URL[paths.length];
        for (int i = 0; i < paths.length; i++) {
            File file = new File(paths[i]);
            if (!file.exists()) {
                throw new Failure("there is no " + paths[i] + ", which the class path names", "check processor_path and processor_entry");
            }
            try {
                urls[i] = file.toURI().toURL();
            } catch (MalformedURLException e) {
                throw new Failure("the class path cannot hold " + paths[i] + ": " + e.getMessage(), "");
            }
        }
        return new URLClassLoader(urls, ClassLoader.getSystemClassLoader().getParent());
    }

    private static String[] classPath(Map<String, String> start) throws Failure {
        String path = start.get("class_path");
        if (path == null || path.isEmpty()) {
            path = start.get("entry");
        }
        if (path == null || path.isEmpty()) {
            throw new Failure("START names neither a class path nor an entry", "check processor_path: it leads to the jar");
        }
        return path.split("\n");
    }

    /** What libraries that look at their own class path are to find there, and not the host's. */
    static String classPathProperty(Map<String, String> start) throws Failure {
        String property = "";
        for (String path : classPath(start)) {
            property = property.isEmpty() ? path : property + File.pathSeparator + path;
        }
        return property;
    }

    /** Finds the class and its methods, makes the object and lets it load. The calling thread is where user code runs. */
    static Processor load(Map<String, String> start, ClassLoader loader, Caller me) throws Failure {
        String name = start.get("main_class");
        if (name == null || name.isEmpty()) {
            throw new Failure("START names no class", "set processor_mainclass to the processor's class with its package");
        }
        Class<?> type = find(name, start, loader, me);
        Constructor<?> constructor;
        Method load;
        Method process;
        try {
            constructor = constructor(type);
            load = load(type);
            process = process(type);
        } catch (LinkageError e) {
            throw failed("the methods of " + name + " cannot be listed", e);
        }
        String[] arguments = {text(start.get("model_entry")), text(start.get("model_config"))};
        Object object = make(constructor, arguments, me);
        if (load != null) {
            load(load, object, me);
        }
        boolean text = process.getParameterTypes()[0] == String.class;
        try {
            return new Processor(MethodHandles.lookup().unreflect(process).bindTo(object).asType(CALL), text);
        } catch (IllegalAccessException e) {
            throw failed("Process of " + name + " cannot be called", e);
        }
    }

    // ---- the class

    private static Class<?> find(String name, Map<String, String> start, ClassLoader loader, Caller me) throws Failure {
        me.enter("in the static initializer of " + name);
        try {
            return Class.forName(name, true, loader);
        } catch (ClassNotFoundException e) {
            String[] paths = classPath(start);
            checkJars(paths);
            throw new Failure("there is no class " + name + " in " + (paths.length == 1 ? paths[0] : "the " + paths.length + " jars and directories of the class path"),
                    "check processor_mainclass: it is the name with the package, as in com.example.Processor");
        } catch (ExceptionInInitializerError e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw thrown("the static initializer of " + name, cause);
        } catch (NoClassDefFoundError e) {
            String other = otherName(name, e.getMessage());
            if (other != null) {
                throw new Failure("there is no class " + name + ": what lies in its place is " + other, "set processor_mainclass to " + other);
            }
            throw failed("class " + name + " cannot be loaded", e);
        } catch (Throwable e) {
            throw failed("class " + name + " cannot be loaded", e);
        } finally {
            me.leave();
        }
    }

    /**
     * Returns the name of the class that was found in place of another one; null where the message of a
     * NoClassDefFoundError says something else. Which of the two stands first depends on the Java.
     */
    private static String otherName(String name, String message) {
        String middle = " (wrong name: ";
        int at = message == null ? -1 : message.indexOf(middle);
        if (at < 0 || !message.endsWith(")")) {
            return null;
        }
        String first = message.substring(0, at).replace('/', '.');
        String second = message.substring(at + middle.length(), message.length() - 1).replace('/', '.');
        return first.equals(name) ? second : first;
    }

    /** A jar that cannot be read the class loader passes over in silence. */
    private static void checkJars(String[] paths) throws Failure {
        for (String path : paths) {
            if (new File(path).isDirectory()) {
                continue;
            }
            try {
                new ZipFile(path).close();
            } catch (IOException e) {
                throw new Failure("the jar " + path + " cannot be read: " + e.getMessage(), "build or fetch it again");
            }
        }
    }

    private static Constructor<?> constructor(Class<?> type) throws Failure {
        String name = type.getName();
        String simple = name.substring(Math.max(name.lastIndexOf('.'), name.lastIndexOf('$')) + 1);
        String wanted = "public " + simple + "(String modelEntry, String modelConfig)";
        if (type.isInterface() || Modifier.isAbstract(type.getModifiers())) {
            throw new Failure(type.getName() + " is abstract: no object can be made of it", "name the class that implements it in processor_mainclass");
        }
        try {
            Constructor<?> constructor = type.getDeclaredConstructor(String.class, String.class);
            if (!Modifier.isPublic(constructor.getModifiers())) {
                throw new Failure("the constructor of " + type.getName() + " is not public", "declare " + wanted);
            }
            constructor.setAccessible(true); // the class itself need not be public
            return constructor;
        } catch (NoSuchMethodException e) {
            throw new Failure("class " + type.getName() + " has no constructor (String, String)",
                    isInner(type) ? "it is an inner class: declare it static" : "declare " + wanted);
        }
    }

    /** Whether each object of a class belongs to one of the class around it, which its constructor takes first. */
    private static boolean isInner(Class<?> type) {
        for (Constructor<?> constructor : type.getDeclaredConstructors()) {
            Class<?>[] parameters = constructor.getParameterTypes();
            if (parameters.length == 3 && type.getName().startsWith(parameters[0].getName() + "$")) {
                return true;
            }
        }
        return false;
    }

    private static Method load(Class<?> type) {
        try {
            Method method = type.getMethod("Load");
            method.setAccessible(true);
            return method;
        } catch (NoSuchMethodException e) {
            return null;
        }
    }

    private static Method process(Class<?> type) throws Failure {
        Method method = method(type, byte[].class);
        if (method == null) {
            method = method(type, String.class);
        }
        if (method == null) {
            throw new Failure("class " + type.getName() + " has no public method Process(byte[]) or Process(String)",
                    "declare public byte[] Process(byte[] input)");
        }
        Class<?> result = method.getReturnType();
        if (result != byte[].class && result != String.class) {
            throw new Failure("Process of " + type.getName() + " returns " + result.getTypeName(), "let it return byte[] or String");
        }
        if (Modifier.isStatic(method.getModifiers())) {
            throw new Failure("Process of " + type.getName() + " is static", "declare it without static");
        }
        method.setAccessible(true);
        return method;
    }

    private static Method method(Class<?> type, Class<?> parameter) {
        try {
            return type.getMethod("Process", parameter);
        } catch (NoSuchMethodException e) {
            return null;
        }
    }

    // ---- the object

    private static Object make(Constructor<?> constructor, String[] arguments, Caller me) throws Failure {
        me.enter("in the constructor");
        try {
            return constructor.newInstance((Object[]) arguments);
        } catch (InvocationTargetException e) {
            throw thrown("the constructor of " + constructor.getName(), e.getCause());
        } catch (Throwable e) {
            throw failed("the constructor of " + constructor.getName() + " cannot be called", e);
        } finally {
            me.leave();
        }
    }

    private static void load(Method load, Object object, Caller me) throws Failure {
        me.enter("in Load");
        try {
            load.invoke(object);
        } catch (InvocationTargetException e) {
            throw thrown("Load of " + object.getClass().getName(), e.getCause());
        } catch (Throwable e) {
            throw failed("Load of " + object.getClass().getName() + " cannot be called", e);
        } finally {
            me.leave();
        }
    }

    // ---- failures

    /** User code threw something. */
    private static Failure thrown(String what, Throwable t) {
        Leaving.print(Traces.trace(t));
        return new Failure(what + " threw " + Traces.describe(t), hint(t));
    }

    /** Java itself refused something. */
    private static Failure failed(String what, Throwable t) {
        if (t instanceof UnsupportedClassVersionError) {
            return new Failure(what + ": " + tooNew(t.getMessage()), "compile it with --release " + javaVersion() + ", or run it with a newer Java");
        }
        Leaving.print(Traces.trace(t));
        return new Failure(what + ": " + Traces.describe(t), hint(t));
    }

    /** Returns what to do about something that was thrown; "" where nobody knows. */
    private static String hint(Throwable t) {
        for (int depth = 0; t != null && depth < 20; t = t.getCause(), depth++) {
            String message = t.getMessage() == null ? "" : t.getMessage();
            if (t instanceof NoClassDefFoundError || t instanceof ClassNotFoundException) {
                return IN_PACKAGE;
            }
            if (t instanceof UnsupportedClassVersionError) {
                return tooNew(message) + ": compile it with --release " + javaVersion() + ", or run it with a newer Java";
            }
            if (t instanceof UnsatisfiedLinkError) {
                return "put the native library into the package and name its directory with -Djava.library.path in processor_jvm_options";
            }
            if (t instanceof IncompatibleClassChangeError) { // methods and fields that are missing too
                return "two versions of a library differ: look for it twice among the jars of the package";
            }
            if (t instanceof OutOfMemoryError) {
                return "give it more heap: -Xmx in processor_jvm_options, and metadata.memory for it";
            }
            if (t.getClass().getName().equals("java.lang.reflect.InaccessibleObjectException")) {
                return "this Java closes its own classes to others: add the --add-opens that the message names to processor_jvm_options";
            }
        }
        return "";
    }

    /** Puts the numbers in the message of an UnsupportedClassVersionError into versions of Java. */
    private static String tooNew(String message) {
        String word = "class file version ";
        int at = message == null ? -1 : message.indexOf(word);
        if (at < 0) {
            return String.valueOf(message);
        }
        int version = 0;
        for (at += word.length(); at < message.length() && message.charAt(at) >= '0' && message.charAt(at) <= '9'; at++) {
            version = version * 10 + message.charAt(at) - '0';
        }
        String name = message.substring(0, Math.max(message.indexOf(' '), 0)).replace('/', '.');
        return name + " was compiled for Java " + (version - 44) + ", and this is Java " + javaVersion();
    }

    private static String javaVersion() {
        String version = System.getProperty("java.specification.version");
        return version.startsWith("1.") ? version.substring(2) : version;
    }

    private static String text(String value) {
        return value == null ? "" : value;
    }
}
