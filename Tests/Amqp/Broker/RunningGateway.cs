using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Hosting;
using OrleansMq.Security;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>A standalone broker with an AMQP gateway, in this process.</summary>
internal sealed class RunningGateway : IAsyncDisposable
{
    private readonly AmqpGateway _gateway;

    private RunningGateway(LocalBroker broker, AmqpGateway gateway, RecordedLog log) => (Broker, _gateway, Log) = (broker, gateway, log);

    public LocalBroker Broker { get; }

    public RecordedLog Log { get; }

    public int Port => _gateway.EndPoint.Port;

    public AmqpGateway Gateway => _gateway;

    public static async Task<RunningGateway> StartAsync(string directory, int port = 0,
        Func<AmqpGatewayOptions, AmqpGatewayOptions>? configure = null, Func<IVirtualHosts, IVirtualHosts>? hosts = null,
        Func<IBroker, IBroker>? engine = null, IAuthorizer? authorizer = null, SecurityOptions? security = null)
    {
        var log = new RecordedLog();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = directory,
            Security = security ?? new SecurityOptions(),
        });
        var options = new AmqpGatewayOptions { Listen = new IPEndPoint(IPAddress.Loopback, port), Log = log };
        var gateway = new AmqpGateway(configure?.Invoke(options) ?? options);
        await gateway.ListenAsync(CancellationToken.None);
        var access = engine is null && authorizer is null ? broker.Access
            : new BrokerAccess(engine?.Invoke(broker) ?? broker, broker, authorizer);
        gateway.Open(new HostedBroker(0, broker.ClusterId, access, access.Broker, broker.Metadata, broker)
        {
            Security = broker.Security,
            OpenVirtualHosts = async () =>
            {
                var opened = await broker.OpenVirtualHostsAsync();
                return hosts is null ? opened : hosts(opened);
            },
        });
        return new RunningGateway(broker, gateway, log);
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await Broker.DisposeAsync();
    }
}
