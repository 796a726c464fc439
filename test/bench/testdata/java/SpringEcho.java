import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

/** The peer with a framework: Spring Boot with its usual server, Tomcat. Argument: the port. */
@EnableAutoConfiguration
@RestController
public class SpringEcho {
    public static void main(String[] args) {
        SpringApplication application = new SpringApplication(SpringEcho.class);
        application.setDefaultProperties(Map.of(
                "server.address", "127.0.0.1",
                "server.port", args[0],
                // Connections are kept, as everybody keeps them here; it would end each after a hundred requests.
                "server.tomcat.max-keep-alive-requests", "-1",
                "spring.main.banner-mode", "off",
                "logging.level.root", "warn"));
        application.run();
    }

    @PostMapping("/api/predict/bench")
    public byte[] echo(@RequestBody byte[] body) {
        return body;
    }
}
