import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.data.BytesCloudEventData;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.core.message.MessageWriter;
import io.cloudevents.http.HttpMessageFactory;
import io.cloudevents.jackson.JsonCloudEventData;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.File;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends events.json with the CloudEvents SDK for Java: over HTTP, or to Kafka with kafka-clients.
 *
 * <p>Usage: Send.java http|kafka; the rest stands in the environment (see check.py).
 */
public class Send {
  private static final Map<String, String> ENV = System.getenv();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  public static void main(String[] args) throws Exception {
    if (args[0].equals("http")) {
      overHttp();
    } else {
      toKafka();
    }
  }

  private static List<CloudEvent> events(String transport, String mode) throws Exception {
    List<CloudEvent> events = new ArrayList<>();
    for (JsonNode event : JSON.readTree(new File(ENV.get("EVENTS")))) {
      CloudEventBuilder builder =
          CloudEventBuilder.v1()
              .withId("java " + transport + " " + mode + " " + event.get("id").asText())
              .withSource(URI.create("/sdk/java/" + ENV.get("RUN")))
              .withType(ENV.get("EVENT_TYPE"))
              .withExtension("recipient", ENV.get("RECIPIENT"));
      if (event.has("subject")) {
        builder = builder.withSubject(event.get("subject").asText());
      }
      JsonNode data = event.get("data");
      if (event.has("bytes")) {
        byte[] bytes = JSON.writeValueAsBytes(data);
        builder = builder.withData("application/json", BytesCloudEventData.wrap(bytes));
      } else {
        builder = builder.withData("application/json", JsonCloudEventData.wrap(data));
      }
      events.add(builder.build());
    }
    return events;
  }

  private static void post(Map<String, String> headers, byte[] body) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(ENV.get("URL") + "/v1/events"))
            .header("authorization", "Bearer " + ENV.get("KEY"))
            .POST(HttpRequest.BodyPublishers.ofByteArray(body));
    headers.forEach(request::header);
    HttpResponse<String> answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 202) {
      throw new IllegalStateException(answer.statusCode() + ": " + answer.body());
    }
  }

  private static void overHttp() throws Exception {
    for (CloudEvent event : events("http", "structured")) {
      write(event, true);
    }
    for (CloudEvent event : events("http", "binary")) {
      write(event, false);
    }
    List<String> batch = new ArrayList<>();
    for (CloudEvent event : events("http", "batch")) {
      batch.add(new String(format(event).serialize(event), StandardCharsets.UTF_8));
    }
    String body = "[" + String.join(",", batch) + "]";
    post(
        Map.of("content-type", "application/cloudevents-batch+json"),
        body.getBytes(StandardCharsets.UTF_8));
  }

  private static void write(CloudEvent event, boolean isStructured) throws Exception {
    Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    byte[][] body = {new byte[0]};
    MessageWriter<?, ?> writer =
        HttpMessageFactory.createWriter(
            headers::put, bytes -> body[0] = bytes == null ? new byte[0] : bytes);
    if (isStructured) {
      writer.writeStructured(event, format(event));
    } else {
      writer.writeBinary(event);
      // The binding demands that attributes are encoded in headers (§3.1.3.2). The SDK does not do it, so its
      // users must.
      headers.replaceAll(Send::encoded);
    }
    post(headers, body[0]);
  }

  /** Data that was given as bytes travels as base64, as the other SDKs write it. */
  private static JsonFormat format(CloudEvent event) {
    boolean isBytes = event.getData() instanceof BytesCloudEventData;
    return isBytes ? new JsonFormat().withForceJsonDataToBase64() : new JsonFormat();
  }

  private static String encoded(String name, String value) {
    if (!name.toLowerCase().startsWith("ce-")) {
      return value;
    }
    return URLEncoder.encode(value, StandardCharsets.UTF_8).replace("+", "%20");
  }

  private static void toKafka() throws Exception {
    for (Encoding encoding : List.of(Encoding.STRUCTURED, Encoding.BINARY)) {
      Map<String, Object> config = new HashMap<>();
      config.put("bootstrap.servers", ENV.get("BROKERS"));
      config.put(CloudEventSerializer.ENCODING_CONFIG, encoding);
      if (encoding == Encoding.STRUCTURED) {
        config.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
      }
      CloudEventSerializer serializer = new CloudEventSerializer();
      serializer.configure(config, false);
      config.keySet().retainAll(List.of("bootstrap.servers"));
      try (KafkaProducer<String, CloudEvent> producer =
          new KafkaProducer<>(config, new StringSerializer(), serializer)) {
        String mode = encoding.name().toLowerCase();
        for (CloudEvent event : events("kafka", mode)) {
          producer.send(new ProducerRecord<>(ENV.get("TOPIC"), event)).get(30, TimeUnit.SECONDS);
        }
      }
    }
  }
}
