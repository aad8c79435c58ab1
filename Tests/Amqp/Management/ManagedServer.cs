using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Hosting;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>A standalone broker with an AMQP gateway and its management API, in this process.</summary>
internal sealed class ManagedServer(LocalBroker broker, AmqpGateway amqp, ManagementGateway management, RecordedLog log)
    : IAsyncDisposable
{
    private readonly HttpClient _client = new();

    public int AmqpPort => amqp.EndPoint.Port;

    public AmqpGateway Amqp => amqp;

    public ManagementGateway Management => management;

    public LocalBroker Broker => broker;

    public RecordedLog Log => log;

    public Uri Address => new(management.Address);

    public static async Task<ManagedServer> StartAsync(string directory,
        Func<AmqpManagementOptions, AmqpManagementOptions>? configure = null, Func<IBroker, IBroker>? engine = null, int id = 0,
        PeerNetwork? network = null)
    {
        var log = new RecordedLog();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = directory, BrokerId = new BrokerId(id) });
        var amqp = new AmqpGateway(new AmqpGatewayOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Log = log });
        var options = new AmqpManagementOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), MaxConnections = 10, Log = log };
        var management = new ManagementGateway(configure?.Invoke(options) ?? options, () => amqp);
        var access = engine is null ? broker.Access : new BrokerAccess(engine(broker), broker);
        var metadata = network is null ? broker.Metadata : network.MetadataOf(broker.Metadata);
        var hosted = new HostedBroker(id, broker.ClusterId, access, access.Broker, metadata, broker)
        {
            Peers = network is null ? NoPeers.Instance : network.PeersOf(id),
            OpenVirtualHosts = async () => await broker.OpenVirtualHostsAsync(),
        };
        foreach (var gateway in new IGateway[] { amqp, management })
        {
            await gateway.ListenAsync(CancellationToken.None);
            gateway.Open(hosted);
        }
        return new ManagedServer(broker, amqp, management, log);
    }

    public async Task<QueueEntry> OpenAsync(string host, string queue)
    {
        var registry = await amqp.OpenQueuesAsync();
        return await registry.OpenAsync(host, registry.Hosts.Find(host)!.Topology.FindQueue(queue)!);
    }

    public async Task<HttpResponseMessage> SendAsync(string method, string path, string? body = null, string? login = "guest:guest",
        string? reason = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri($"{management.Address}/api/{path}",
            new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        if (login is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(
                login)));
        if (reason is not null)
            request.Headers.Add("X-Reason", reason);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        return await _client.SendAsync(request);
    }

    public async Task<string> DoAsync(int status, string method, string path, string? body = null, string? login = "guest:guest")
    {
        using var response = await SendAsync(method, path, body, login);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(status == (int)response.StatusCode, $"{method} {path}: {(int)response.StatusCode} {text}");
        return text;
    }

    public async Task<JsonElement> GetAsync(string path, string login = "guest:guest") =>
        JsonDocument.Parse(await DoAsync(200, "GET", path, login: login)).RootElement;

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await management.StopAsync(new CancellationToken(canceled: true));
        await management.DisposeAsync();
        await amqp.DisposeAsync();
        await broker.DisposeAsync();
    }
}
