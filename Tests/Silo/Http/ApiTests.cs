using System.Net;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Rules of the whole API: health, problem responses, and its description.</summary>
public sealed class ApiTests(RunningBroker broker) : IClassFixture<RunningBroker>, IDisposable
{
    public void Dispose() => broker.Script.OnFetch = null;

    [Theory]
    [InlineData("/healthz")]
    [InlineData("/readyz")]
    public async Task Running_broker_is_healthy(string path) => Assert.Equal("ok", await broker.Http.GetStringAsync(path));

    [Fact]
    public async Task Broker_with_a_full_disk_is_ready_and_says_so_and_logs_refused_appends_once()
    {
        var full = new RunningBroker { Settings = broker.Settings with { MinFreeBytes = long.MaxValue } };
        await full.InitializeAsync();
        try
        {
            Assert.Equal("ok", await full.Http.GetStringAsync("/healthz"));
            Assert.Contains("appends are refused", await full.Http.GetStringAsync("/readyz"), StringComparison.Ordinal);
            var topic = await full.CreateTopicAsync();
            for (var number = 0; number < 50; number++)
            {
                using var refused = await full.ProduceAsync(topic, """{"value":"x"}""");
                await RunningBroker.AssertProblemAsync(refused, 507, ErrorCode.KafkaStorageError, "Free some space");
            }
            Assert.Single(full.Log.Split('\n'), static line => line.Contains("appends are refused", StringComparison.Ordinal));
        }
        finally
        {
            await full.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/api")]
    [InlineData("/api/topics/a/b/c")]
    public async Task Unknown_path_is_a_problem(string path)
    {
        using var response = await broker.Http.GetAsync(path);
        await RunningBroker.AssertProblemAsync(response, 404, ErrorCode.InvalidRequest, path, "/openapi.json");
    }

    [Fact]
    public async Task Unsupported_method_is_a_problem_that_names_the_allowed_ones()
    {
        using var response = await broker.Http.PostAsync("/api/topics", null);
        await RunningBroker.AssertProblemAsync(response, 405, ErrorCode.InvalidRequest, "POST", "GET");
        Assert.Equal("GET", response.Content.Headers.Allow.Single());
    }

    [Fact]
    public async Task Cross_origin_page_is_refused_and_same_origin_is_not()
    {
        using var foreign = new HttpRequestMessage(HttpMethod.Delete,
            "/api/topics/a") { Headers = { { "Origin", "https://example.org" } } };
        using var refused = await broker.Http.SendAsync(foreign);
        await RunningBroker.AssertProblemAsync(refused, 403, ErrorCode.InvalidRequest, "https://example.org");
        using var own = new HttpRequestMessage(HttpMethod.Get,
            "/api/topics") { Headers = { { "Origin", broker.Http.BaseAddress!.ToString().TrimEnd('/') } } };
        using var answered = await broker.Http.SendAsync(own);
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);
    }

    /// <summary>Images, scripts and frames of a page are loaded without an origin.</summary>
    [Theory]
    [InlineData("cross-site", "image", 403)]
    [InlineData("same-site", "empty", 403)]
    [InlineData("cross-site", "document", 200)]
    [InlineData("same-origin", "image", 200)]
    [InlineData("none", "document", 200)]
    public async Task Page_of_another_site_loads_nothing_and_a_link_may_be_followed(string site, string destination, int status)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/topics")
        {
            Headers = { { "Sec-Fetch-Site", site }, { "Sec-Fetch-Dest", destination } },
        };
        using var response = await broker.Http.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("evil.example", 421)]
    [InlineData("evil.example:8080", 421)]
    [InlineData("127.0.0.1.evil.example", 421)]
    [InlineData("localhost.evil.example", 421)]
    [InlineData("notlocalhost", 421)]
    [InlineData("localhost:8080", 404)]
    [InlineData("LocalHost.", 404)]
    [InlineData("broker.localhost", 404)]
    [InlineData("127.0.0.1", 404)]
    [InlineData("[::1]:8080", 404)]
    [InlineData("192.0.2.7:8080", 404)]
    public async Task Request_for_another_host_is_refused_also_from_its_own_origin(string host, int status)
    {
        using var request = new HttpRequestMessage(HttpMethod.Delete, "/api/topics/no-such-topic");
        request.Headers.Host = host;
        request.Headers.Add("Origin", $"http://{host}");
        using var response = await broker.Http.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 421)
            await RunningBroker.AssertProblemAsync(response, 421, ErrorCode.InvalidRequest, "--http-hosts", host.Split(':')[0]);
    }

    [Fact]
    public async Task Internal_error_is_a_problem_and_is_logged()
    {
        var topic = await broker.CreateTopicAsync();
        broker.Script.OnFetch = (_, _) => throw new InvalidOperationException("a bug for the test");
        using var response = await broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/batches?offset=0");
        await RunningBroker.AssertProblemAsync(response, 500, ErrorCode.UnknownServerError, "InvalidOperationException");
        Assert.Contains("a bug for the test", broker.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "/api/cluster?x=1")]
    [InlineData("POST", "/api/producers?x=1")]
    [InlineData("GET", "/api/topics?x=1")]
    public async Task Unexpected_parameter_is_refused(string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var response = await broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, "'x'", "takes none");
    }

    [Fact]
    public async Task Cluster_is_described_and_producer_ids_differ()
    {
        var cluster = JsonDocument.Parse(await broker.Http.GetStringAsync("/api/cluster")).RootElement;
        Assert.Equal("standalone", cluster.GetProperty("flavour").GetString());
        Assert.Equal(0, cluster.GetProperty("brokers")[0].GetProperty("brokerId").GetInt32());
        var ids = new HashSet<long>();
        for (var i = 0; i < 5; i++)
        {
            using var response = await broker.Http.PostAsync("/api/producers", null);
            ids.Add(JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.GetProperty("producerId").GetInt64());
        }
        Assert.Equal(5, ids.Count);
    }

    [Fact]
    public async Task Every_route_is_described_and_every_description_is_a_route()
    {
        var routes = broker.Server.Routes.SelectMany(route => route.Metadata.OfType<Microsoft.AspNetCore.Routing.HttpMethodMetadata>()
            .Single().HttpMethods
            .Select(method => $"{method} {route.RoutePattern.RawText}"));
        var document = JsonDocument.Parse(await broker.Http.GetStringAsync("/openapi.json")).RootElement;
        var described = document.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()
            .Where(member => member.Name != "parameters").Select(operation => $"{operation.Name.ToUpperInvariant()} {path.Name}"));
        Assert.Equal(OrleansMq.Silo.Hosting.ProgramVersion.Text, document.GetProperty("info").GetProperty("version").GetString());
        Assert.Equal(routes.Order(StringComparer.Ordinal), described.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Every_operation_has_a_description_and_every_reference_resolves()
    {
        var document = JsonDocument.Parse(await broker.Http.GetStringAsync("/openapi.json")).RootElement;
        var operations = document.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject())
            .Where(o => o.Name != "parameters").ToList();
        Assert.All(operations, operation =>
        {
            Assert.NotEmpty(operation.Value.GetProperty("summary").GetString()!);
            Assert.NotEmpty(operation.Value.GetProperty("responses").EnumerateObject());
        });
        Assert.Equal(operations.Count, operations.Select(o => o.Value.GetProperty("operationId").GetString()).Distinct().Count());
        Assert.All(References(document), reference =>
        {
            var at = document;
            foreach (var part in reference.TrimStart('#', '/').Split('/'))
                Assert.True(at.TryGetProperty(part, out at), $"{reference} leads nowhere.");
        });
    }

    [Fact]
    public async Task Every_described_document_has_exactly_the_fields_of_its_body()
    {
        var document = JsonDocument.Parse(await broker.Http.GetStringAsync("/openapi.json")).RootElement;
        var bodies = typeof(HttpBroker).Assembly.GetTypes()
            .Where(static type => type.Namespace == typeof(HttpBroker).Namespace && !type.IsNested)
            .ToDictionary(static type => type.Name);
        var (compared, wrong) = (0, new List<string>());
        // A line is one of several forms.
        foreach (var schema in document.GetProperty("components").GetProperty("schemas").EnumerateObject()
            .Where(static schema => !schema.Name.EndsWith("Line", StringComparison.Ordinal)))
        {
            if ((bodies.GetValueOrDefault(schema.Name + "Body") ?? bodies.GetValueOrDefault(schema.Name + "Document")
                ?? bodies.GetValueOrDefault(schema.Name)) is not { } body || !schema.Value.TryGetProperty("properties", out var described))
                continue;
            compared++;
            var fields = body.GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .Where(static one => one.GetCustomAttribute<JsonIgnoreAttribute>() is not { Condition: JsonIgnoreCondition.Always })
                .Select(static one => JsonNamingPolicy.CamelCase.ConvertName(one.Name)).ToHashSet();
            fields.SymmetricExceptWith(described.EnumerateObject().Select(static field => field.Name));
            if (fields.Count > 0)
                wrong.Add($"{schema.Name}, {body.Name}: {string.Join(", ", fields)}");
        }
        Assert.Empty(wrong);
        Assert.True(compared >= 20, $"{compared} documents are compared.");
    }

    [Fact]
    public async Task Every_described_query_parameter_is_known_to_its_endpoint()
    {
        var topic = await broker.CreateTopicAsync();
        var document = JsonDocument.Parse(await broker.Http.GetStringAsync("/openapi.json")).RootElement;
        foreach (var path in document.GetProperty("paths").EnumerateObject())
        {
            foreach (var operation in path.Value.EnumerateObject()
                .Where(o => o.Name is "get" or "post" && o.Value.TryGetProperty("parameters", out _)))
            {
                var names = operation.Value.GetProperty("parameters").EnumerateArray()
                    .Select(p => p.TryGetProperty("$ref", out var to)
                        ? document.GetProperty("components").GetProperty("parameters").GetProperty(to.GetString()!.Split('/')[^1]) : p)
                    .Where(p => p.GetProperty("in").GetString() == "query").Select(p => p.GetProperty("name").GetString()!).ToList();
                var url = path.Name.Replace("{topic}", topic).Replace("{partition}", "0") + "?surely-not-known=1";
                using var request = new HttpRequestMessage(new HttpMethod(operation.Name.ToUpperInvariant()), url);
                using var response = await broker.Http.SendAsync(request);
                await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, $"allowed: {string.Join(", ", names)}.");
            }
        }
    }

    private static IEnumerable<string> References(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(m => m.Name == "$ref" ? [m.Value.GetString()!] : References(m.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(References),
        _ => [],
    };
}
