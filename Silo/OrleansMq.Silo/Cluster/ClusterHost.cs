using System.Net;
using System.Net.Sockets;
using OrleansMq.Brokers;
using OrleansMq.Connections;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Topics;
using OrleansMq.Hosting;
using OrleansMq.Replication;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Tls;

namespace OrleansMq.Silo.Cluster;

/// <summary>
/// A silo of an Orleans cluster in this process. With a database it is a member of a replicated cluster; without one it is a cluster of its
/// own on the loopback address. The silo runs in a host of its own inside the program's. So HTTP can answer "not ready" while the data
/// directory recovers, and drains before the silo stops.
/// </summary>
/// <param name="options">The engine's options.</param>
/// <param name="settings">The operator's settings.</param>
internal sealed class ClusterHost(BrokerOptions options, BrokerSettings settings) : IBrokerHost
{
    // What a silo needs to stop, beyond the time for its requests.
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    // Joining takes milliseconds, unless the silo that controls the metadata has just died.
    private static readonly TimeSpan JoinTime = TimeSpan.FromSeconds(15);

    private IHost? _silo;
    private SiloBroker? _broker;
    private bool _isStarted;

    /// <inheritdoc/>
    public string Flavour => SiloBroker.Flavour;

    /// <inheritdoc/>
    public ClusterMemberEndpoints? Member { get; private set; }

    /// <inheritdoc/>
    public async Task<HostedBroker> StartAsync(HostContext context, CancellationToken cancellationToken)
    {
        var log = context.Loggers;
        var cluster = settings.PostgreSql is null ? null : await DescribeAsync(context, cancellationToken);
        var endpoints = cluster?.Endpoints ?? Alone();
        await ExplainAsync(log.CreateLogger("cluster"), cluster is not null, async () =>
        {
            _silo = SiloHosts.Build(log, silo => Add(silo, endpoints, cluster));
            // Creates it, if TLS is configured: its files are read before the data directory is opened.
            _ = _silo.Services.GetService<ClusterTls>();
            _broker = _silo.Services.GetRequiredService<SiloBroker>();
            // The silo would do all of this too, but would hide the cause of a failure in its own exception.
            await _broker.OpenAsync(cancellationToken);
            if (cluster is not null)
            {
                await _silo.Services.GetRequiredService<ClusterDatabase>().PrepareAsync(cancellationToken);
                await _silo.Services.GetRequiredService<BrokerIdCheck>().CheckAsync(cancellationToken);
            }
            await _silo.StartAsync(cancellationToken);
            _isStarted = true;
        });
        if (cluster is not null)
            await JoinedAsync(log.CreateLogger("cluster"), cancellationToken);
        Announce(log.CreateLogger("cluster"), endpoints, cluster);
        return _silo!.Services.GetRequiredService<HostedBroker>();
    }

    /// <summary>Waits until topics are placed on this broker, so that three ready brokers can hold three replicas.</summary>
    private async Task JoinedAsync(ILogger log, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(JoinTime);
        try
        {
            await _silo!.Services.GetRequiredService<ClusterLink>().JoinedAsync(patience.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            log.NotPlaced(JoinTime.TotalSeconds);
        }
    }

    /// <inheritdoc/>
    public async Task HandOverAsync()
    {
        if (Member is not null && _silo?.Services.GetService<LeadershipExit>() is { } exit)
            await exit.LeaveAsync();
    }

    /// <summary>Stops the silo (its grains complete their requests and deactivate), then closes the data directory.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _silo, null) is not { } silo)
            return;
        // Orleans cannot stop a silo that has not started.
        if (!_isStarted || await TryStopAsync(silo))
            await ((IAsyncDisposable)silo).DisposeAsync();
    }

    /// <summary>Stops the silo within a time limit. A silo reports its end to the cluster, and retries while the database does not answer.
    /// The other brokers also notice the closed port.</summary>
    private async Task<bool> TryStopAsync(IHost silo)
    {
        using var patience = new CancellationTokenSource(settings.DrainTimeout);
        var stopped = silo.StopAsync(patience.Token);
        if (await Task.WhenAny(stopped, Task.Delay(settings.DrainTimeout + StopGrace)) == stopped)
        {
            await stopped;
            return true;
        }
        silo.Services.GetRequiredService<ILoggerFactory>().CreateLogger("cluster")
            .NotLeft(settings.DrainTimeout.TotalSeconds + StopGrace.TotalSeconds);
        if (Member is not null)
            await silo.Services.GetRequiredService<SiloReplicas>().DisposeAsync();
        await _broker!.DisposeAsync();
        return false;
    }

    private void Add(ISiloBuilder silo, SiloEndpoints endpoints, BrokerClusterOptions? cluster)
    {
        if (ToTls() is { } tls)
            silo.UseClusterTls(tls);
        if (cluster is null)
            silo.UseLocalhostClustering(endpoints.SiloPort, endpoints.GatewayPort).AddOrleansMq(_ => options);
        else
            silo.AddOrleansMq(_ => options, cluster);
    }

    private async Task ExplainAsync(ILogger log, bool replicated, Func<Task> start)
    {
        try
        {
            await start();
        }
        catch (Exception refused) when (refused is ClusterDatabaseException or BrokerIdTakenException)
        {
            throw new HostRefusedException(refused.Message, refused);
        }
        catch (TlsConfigurationException refused)
        {
            throw new HostRefusedException($"--cluster-tls-certificate: {refused.Message}", refused);
        }
        catch (Exception failure) when (replicated && failure is not (OperationCanceledException or DataDirectoryException or IOException))
        {
            log.NotJoined(failure);
            throw new HostRefusedException(
                $"The broker could not join cluster '{settings.ClusterId}': {failure.GetBaseException().Message}", failure);
        }
    }

    private ClusterTlsOptions? ToTls() => settings.ClusterTlsCertificate is not { } certificate ? null : new ClusterTlsOptions
    {
        Certificate = new TlsCertificate(certificate) { KeyFile = settings.ClusterTlsKey, Password = settings.TlsPassword },
        // Given with the certificate.
        Authorities = settings.ClusterTlsCa!,
    };

    private SiloEndpoints Alone()
    {
        var ports = ClusterPorts.Choose(settings.OrleansPort?.Port, settings.GatewayPort?.Port);
        return new SiloEndpoints(IPAddress.Loopback, ports.Silo, ports.Gateway);
    }

    private async Task<BrokerClusterOptions> DescribeAsync(HostContext context, CancellationToken cancellationToken)
    {
        var advertised = settings.AdvertisedHost ?? AdvertisedByBinding().ToString();
        var address = await ResolveAsync(advertised, cancellationToken);
        var (siloAddress, gatewayAddress) = (settings.OrleansPort?.Address ?? address, settings.GatewayPort?.Address ?? address);
        var ports = ClusterPorts.Choose(settings.OrleansPort?.Port, settings.GatewayPort?.Port, siloAddress, gatewayAddress);
        return new BrokerClusterOptions
        {
            PostgreSql = settings.PostgreSql,
            ClusterId = settings.ClusterId,
            Rack = settings.Rack,
            Endpoints = new SiloEndpoints(address, ports.Silo, ports.Gateway)
            {
                SiloListener = new IPEndPoint(siloAddress, ports.Silo),
                GatewayListener = new IPEndPoint(gatewayAddress, ports.Gateway),
            },
            Http = AdvertisedHttp(context, advertised),
            Kafka = AdvertisedKafka(context, advertised),
            KafkaListeners = AdvertisedListeners(context, advertised),
            DefaultReplicationFactor = settings.ReplicationFactor,
            AutoRebalance = settings.AutoRebalance,
            AutoLeaderRebalance = settings.AutoLeaderRebalance,
            Replication = new ReplicationOptions
            {
                ReplicaLagTimeMax = settings.ReplicaLagTimeMax,
                LeaderLease = settings.LeaderLease,
                CatchUpMaxBytesPerSecond = settings.ReplicaCatchUpMaxBytesPerSecond,
                CatchUpLiveShare = settings.ReplicaCatchUpLiveShare,
            },
            StartTimeout = settings.StartTimeout,
            HandoverTimeout = settings.DrainTimeout,
        };
    }

    private IPAddress AdvertisedByBinding() =>
        settings.OrleansPort?.Address is { } bound && !bound.Equals(IPAddress.IPv6Any) && !bound.Equals(IPAddress.Any)
            ? bound
            : IPAddress.Loopback;

    /// <summary>Resolves a host name, since silos know each other only by address.</summary>
    private static async Task<IPAddress> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancellationToken);
            return addresses.FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork) ?? addresses[0];
        }
        catch (SocketException unknown)
        {
            throw new HostRefusedException($"--advertised {host}: the name cannot be resolved: {unknown.Message}. Give a name or an "
                + "address that the other brokers reach.", unknown);
        }
    }

    private string AdvertisedHttp(HostContext context, string advertised) =>
        // A listener on the loopback address is not reached by another name.
        new UriBuilder(settings.Http.IsSecure ? Uri.UriSchemeHttps : Uri.UriSchemeHttp,
            settings.Http.IsLoopback ? IPAddress.Loopback.ToString() : advertised,
            context.PortOf("http")!.Value).Uri.GetLeftPart(UriPartial.Authority);

    private string? AdvertisedKafka(HostContext context, string advertised)
    {
        if (settings.Kafka is not { } kafka || settings.KafkaAdvertised is not null)
            return settings.KafkaAdvertised;
        return settings.KafkaListeners.FirstOrDefault()?.Advertised
            ?? AddressOf(kafka.IsLoopback, advertised, context.PortOf("kafka")!.Value);
    }

    private Dictionary<string, string> AdvertisedListeners(HostContext context, string advertised) =>
        settings.KafkaListeners.Count == 0 ? []
            : context.Gateways.OfType<KafkaGateway>().SelectMany(static gateway => gateway.Listeners).ToDictionary(
                static listener => listener.Name,
                listener => listener.Advertised
                    ?? AddressOf(IPAddress.IsLoopback(listener.Listen.Address), advertised, listener.Listen.Port));

    private static string AddressOf(bool isLoopback, string advertised, int port)
    {
        var host = isLoopback ? IPAddress.Loopback.ToString() : advertised;
        return host.Contains(':', StringComparison.Ordinal) ? $"[{host}]:{port}" : $"{host}:{port}";
    }

    private void Announce(ILogger log, SiloEndpoints endpoints, BrokerClusterOptions? cluster)
    {
        var silo = new IPEndPoint(endpoints.Address, endpoints.SiloPort).ToString();
        var gateway = new IPEndPoint(endpoints.Address, endpoints.GatewayPort).ToString();
        log.Listening(silo, gateway);
        if (cluster is null)
            return;
        if (ToTls() is not null)
            log.Encrypted();
        else if (!IPAddress.IsLoopback(endpoints.SiloListener!.Address) || !IPAddress.IsLoopback(endpoints.GatewayListener!.Address))
            log.OpenDoor(endpoints.SiloListener.ToString(), endpoints.GatewayListener!.ToString());
        Member = new ClusterMemberEndpoints(cluster.ClusterId, silo, gateway);
    }
}
