using System.Globalization;
using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>Requests of every path and method of the HTTP API with the examples of its description, and some of RabbitMQ's management
/// API.</summary>
internal sealed class HttpRequests
{
    private static readonly string[] ManagementPaths = ["/api/overview", "/api/queues/%2F/q", "/api/exchanges/%2F", "/api/users",
        "/api/definitions", "/api/bindings/%2F", "/api/connections", "/api/permissions/%2F/guest", "/api/policies", "/api/vhosts"];

    private readonly List<(string Method, string Path, string Body, string Type)> _bases = [];

    /// <summary>Reads the description of the API.</summary>
    public HttpRequests()
    {
        using var stream = typeof(HttpRequests).Assembly.GetManifestResourceStream("openapi.json")!;
        using var document = JsonDocument.Parse(stream);
        var root = document.RootElement;
        foreach (var path in root.GetProperty("paths").EnumerateObject())
        {
            foreach (var operation in path.Value.EnumerateObject().Where(static one => one.Name != "parameters"))
            {
                var target = path.Name;
                var query = new List<string>();
                foreach (var parameter in Parameters(root, path.Value).Concat(Parameters(root, operation.Value)))
                {
                    var name = parameter.GetProperty("name").GetString()!;
                    var example = Example(parameter);
                    if (parameter.GetProperty("in").GetString() == "path")
                        target = target.Replace($"{{{name}}}", example, StringComparison.Ordinal);
                    else if (parameter.GetProperty("in").GetString() == "query")
                        query.Add($"{name}={example}");
                }
                var (body, type) = operation.Value.TryGetProperty("requestBody", out var request) ? Body(request) : ("", "");
                _bases.Add((operation.Name.ToUpperInvariant(), query.Count == 0 ? target : $"{target}?{string.Join('&', query)}", body,
                    type));
            }
        }
    }

    /// <summary>How many kinds there are.</summary>
    public int Count => _bases.Count;

    /// <summary>Returns a request to the HTTP API, most often a broken one.</summary>
    /// <param name="random">Decides.</param>
    /// <param name="token">A valid token, which is broken before it is sent.</param>
    public byte[] Next(Random random, string token)
    {
        var (method, path, body, type) = _bases[random.Next(_bases.Count)];
        return Break(random, Encode(method, path, body, type, Authorization(random, token)), body.Length);
    }

    /// <summary>Returns a request to RabbitMQ's management API.</summary>
    public static byte[] NextOfManagement(Random random)
    {
        var method = random.Next(3) switch { 0 => "PUT", 1 => "DELETE", _ => "GET" };
        // The user guest may do everything there, so that user is not used.
        var body = method == "PUT" ? """{"password":"x","tags":"administrator","durable":true,"arguments":{"x-max-length":3}}""" : "";
        return Break(random, Encode(method, ManagementPaths[random.Next(ManagementPaths.Length)], body, "application/json",
            $"Basic {Convert.ToBase64String("fuzz:fuzz"u8)}"), body.Length);
    }

    private static byte[] Encode(string method, string path, string body, string type, string? authorization)
    {
        var head = new StringBuilder($"{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if (authorization is not null)
            head.Append(CultureInfo.InvariantCulture, $"Authorization: {authorization}\r\n");
        if (body.Length > 0)
            head.Append(CultureInfo.InvariantCulture,
                $"Content-Type: {type}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n");
        return Encoding.UTF8.GetBytes(head.Append("\r\n").Append(body).ToString());
    }

    private static string? Authorization(Random random, string token) => random.Next(8) switch
    {
        0 => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"mallory:{random.Next()}")),
        1 => "Basic " + Encoding.Latin1.GetString(Mutator.Mutate("bWFsbG9yeTp4"u8, random)).ReplaceLineEndings(""),
        2 => "Bearer " + Encoding.Latin1.GetString(Mutator.Mutate(Encoding.ASCII.GetBytes(token), random)).ReplaceLineEndings(""),
        3 => "Bearer " + new string('.', random.Next(3_000)),
        _ => null,
    };

    private static byte[] Break(Random random, byte[] request, int bodyBytes) => random.Next(6) switch
    {
        0 => request,
        // The body alone.
        1 or 2 when bodyBytes > 0 => Mutator.Mutate(request, random, request.Length - bodyBytes),
        3 => [.. request, .. Mutator.Noise(random, 200)],
        _ => Mutator.Mutate(request, random),
    };

    private static IEnumerable<JsonElement> Parameters(JsonElement root, JsonElement owner)
    {
        if (!owner.TryGetProperty("parameters", out var parameters))
            yield break;
        foreach (var parameter in parameters.EnumerateArray())
        {
            if (!parameter.TryGetProperty("$ref", out var reference))
            {
                yield return parameter;
                continue;
            }
            var found = root;
            foreach (var part in reference.GetString()!.Split('/').Skip(1))
                found = found.GetProperty(part);
            yield return found;
        }
    }

    private static string Example(JsonElement parameter) =>
        Uri.EscapeDataString(parameter.TryGetProperty("example", out var example) ? example.ToString() : "1");

    private static (string Body, string Type) Body(JsonElement request)
    {
        var content = request.GetProperty("content").EnumerateObject().First();
        var body = !content.Value.TryGetProperty("example", out var example) ? "x"
            : example.ValueKind == JsonValueKind.String ? example.GetString()! : example.GetRawText();
        return (body, content.Name);
    }
}
