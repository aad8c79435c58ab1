using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Silo.Logging;

namespace OrleansMq.Tests.Silo;

/// <summary>A broker with its HTTP API on a free port of 127.0.0.1, over a temporary directory, in this process.</summary>
public sealed class RunningBroker : IAsyncLifetime
{
    private readonly string _directory;
    private readonly LogText _log = new();
    private int _topics;

    public RunningBroker() : this(Path.Combine(Path.GetTempPath(), "omq-silo-tests", Guid.NewGuid().ToString("N")))
    {
    }

    private RunningBroker(string directory) => _directory = directory;

    /// <summary>The deadline of every wait.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    internal BrokerSettings Settings { get; init; } = new() { Kafka = null, Http = new ListenAddress(IPAddress.Loopback, 0),
        DrainTimeout = TimeSpan.FromSeconds(20) };

    /// <summary>Decides what clients may do; null: everything.</summary>
    internal IAuthorizer? Authorizer { get; init; }

    /// <summary>Stands between the door and the broker; null: nothing does.</summary>
    internal Func<IBroker, IBroker>? Engine { get; init; }

    /// <summary>The tickets of grain calls; null: there are none.</summary>
    internal BrokerTickets? Tickets { get; init; }

    internal BrokerServer Server { get; private set; } = null!;

    /// <summary>The broker behind the API; a test may script its answers.</summary>
    public ScriptedBroker Script { get; private set; } = null!;

    /// <summary>What the API serves, for another gateway to do so, too.</summary>
    internal HostedBroker Hosted { get; private set; } = null!;

    /// <summary>The partitions behind the API.</summary>
    internal ILocalPartitions Local { get; private set; } = null!;

    public HttpClient Http { get; private set; } = null!;

    public string Log => _log.ToString();

    public async Task InitializeAsync()
    {
        var settings = Settings with { DataDirectory = _directory };
        Server = await BrokerServer.StartAsync(settings, new ConsoleLog(_log, LogLevel.Information, TimeProvider.System),
            (_, options) => new ScriptedHost(options, this));
        Http = new HttpClient { BaseAddress = new Uri(Server.Address), Timeout = Patience };
    }

    public async Task DisposeAsync()
    {
        Http?.Dispose();
        if (Server is not null)
            await Server.DisposeAsync();
        if (Directory.Exists(_directory))
            Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Stops the broker and starts another at the same address over the same data. This object is unusable afterwards.</summary>
    public async Task<RunningBroker> RestartAsync()
    {
        var address = new Uri(Server.Address);
        Http.Dispose();
        await Server.DisposeAsync();
        var next =
            new RunningBroker(_directory) { Settings = Settings with { Http = new ListenAddress(IPAddress.Loopback, address.Port) } };
        await next.InitializeAsync();
        return next;
    }

    /// <summary>Creates a topic with a unique name.</summary>
    public async Task<string> CreateTopicAsync(int partitions = 1, string configs = "{}")
    {
        var topic = $"topic-{Interlocked.Increment(ref _topics)}";
        using var created = await Http.PutAsync($"/api/topics/{topic}", Json($$"""{"partitions":{{partitions}},"configs":{{configs}}}"""));
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        return topic;
    }

    public async Task<HttpResponseMessage> ProduceAsync(string topic, string lines, string query = "") =>
        await Http.PostAsync($"/api/topics/{topic}/records{query}", new StringContent(lines, Encoding.UTF8, "application/x-ndjson"));

    /// <summary>Produces lines that must all be accepted. Returns the answers.</summary>
    public async Task<JsonElement[]> ProduceAllAsync(string topic, string lines, string query = "")
    {
        using var response = await ProduceAsync(topic, lines, query);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return Lines(await response.Content.ReadAsStringAsync());
    }

    public async Task<JsonElement[]> ConsumeAsync(string topic, int partition, string query = "?max=1000000")
    {
        using var response = await Http.GetAsync($"/api/topics/{topic}/partitions/{partition}/records{query}");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return Lines(await response.Content.ReadAsStringAsync());
    }

    public static JsonElement[] Lines(string text) =>
        [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];

    public static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    /// <summary>Asserts that the response is a problem of that status and code, whose detail names <paramref name="named"/>.</summary>
    public static async Task AssertProblemAsync(HttpResponseMessage response, int status, ErrorCode code, params string[] named)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True((int)response.StatusCode == status, $"expected {status}, got {(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        Assert.Equal(code.ToString(), problem.GetProperty("code").GetString());
        Assert.Equal((int)code, problem.GetProperty("errorCode").GetInt32());
        Assert.Equal(code.Action() == ErrorAction.Retry, problem.GetProperty("retriable").GetBoolean());
        Assert.Equal(response.RequestMessage!.RequestUri!.AbsolutePath, problem.GetProperty("instance").GetString());
        Assert.All(named, name => Assert.Contains(name, problem.GetProperty("detail").GetString(), StringComparison.Ordinal));
    }

    private sealed class ScriptedHost(BrokerOptions options, RunningBroker owner) : IBrokerHost
    {
        private readonly StandaloneHost _inner = new(options);

        public string Flavour => _inner.Flavour;

        public void Begin() => _inner.Begin();

        public async Task<HostedBroker> StartAsync(HostContext context, CancellationToken cancellationToken)
        {
            var hosted = await _inner.StartAsync(context, cancellationToken);
            owner.Local = hosted.Local;
            var script = owner.Script = new ScriptedBroker(hosted.Broker);
            var engine = owner.Engine?.Invoke(script) ?? script;
            return owner.Hosted = new HostedBroker(hosted.BrokerId, hosted.ClusterId,
                new BrokerAccess(engine, hosted.Local, owner.Authorizer ?? hosted.Access.Authorizer, hosted.Access.Meter, options.Log,
                    quotas: hosted.Access.Quotas), script,
                hosted.Metadata, hosted.Local)
            {
                LocalGroups = async cancellation =>
                    [.. (await script.Groups.ListGroupsAsync(cancellation)).Select(static group => group.GroupId)],
                Security = hosted.Security,
                Tickets = owner.Tickets,
                OpenVirtualHosts = hosted.OpenVirtualHosts,
            };
        }

        public ValueTask DisposeAsync() => _inner.DisposeAsync();
    }
}
