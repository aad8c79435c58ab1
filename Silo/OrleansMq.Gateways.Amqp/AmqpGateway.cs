using System.Diagnostics.Metrics;
using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Management.Peers;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Connections;
using OrleansMq.Hosting;
using OrleansMq.Quotas;
using OrleansMq.Security;
using OrleansMq.Tls;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp;

/// <summary>AMQP 0-9-1 in front of a broker. The virtual hosts open with the first login; one that fails is tried again by the
/// next. Thread safe.</summary>
internal sealed class AmqpGateway : IGateway, IGatewayDoors, IRefreshedMetrics, IAmqpAccess
{
    /// <summary>Its <see cref="Name"/>, which is also the setting's.</summary>
    internal const string GatewayName = "amqp";

    private static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(30);
    // How often connections are looked at: their user or virtual host may be deleted.
    private static readonly TimeSpan LookPause = TimeSpan.FromSeconds(1);

    // How long a client may leave what was sent unread.
    private static readonly TimeSpan MaxUnread = TimeSpan.FromMinutes(10);

    private readonly AmqpGatewayOptions _options;
    private readonly ConnectionServer _server;
    private readonly ConnectionSettings _settings;
    private readonly SemaphoreSlim _gate = new(1);
    private readonly CancellationTokenSource _closed = new();
    private readonly ResourceAlarms _alarms;
    private readonly QueueLook _look;
    private volatile HostedBroker? _broker;
    private readonly WatchedCertificates? _certificates;
    private GatewayPort? _port;
    private QueueRegistry? _registry;
    private DirectReplies? _replies;
    private ITimer? _looking;
    private Task _opening = Task.CompletedTask;
    private volatile AmqpAccess? _access;

    /// <param name="options">Limits and defaults.</param>
    /// <exception cref="TlsConfigurationException">A certificate cannot be used.</exception>
    public AmqpGateway(AmqpGatewayOptions options)
    {
        _options = options;
        if (options.Tls is { } tls)
            _certificates = WatchedCertificates.Load(tls, "AMQP", options.TimeProvider, options.Log);
        _settings = new ConnectionSettings { MaxMessageBytes = options.MaxMessageBytes };
        Memory = new MemoryBudget(options.MaxMemoryBytes);
        _alarms = new ResourceAlarms(Memory, options.IsDiskShort ?? IsDiskShort, options.TimeProvider, options.Log);
        _look = new QueueLook(options.TimeProvider);
        _server = new ConnectionServer("AMQP", new ConnectionLimits
        {
            MaxConnections = options.MaxConnections,
            MaxConnectionsPerAddress = options.MaxConnectionsPerAddress,
            MaxIdle = MaxUnread,
            MaxInFlightBytes = long.MaxValue,
            MaxInFlightBytesPerConnection = _settings.MaxInFlightBytes,
            Loops = 0,
        }, options.TimeProvider, options.Log)
        {
            Unauthenticated = new UnauthenticatedConnections("AMQP", options.MaxUnauthenticated, options.Log,
                options.TimeProvider),
        };
    }

    /// <inheritdoc/>
    public string Name => GatewayName;

    /// <inheritdoc/>
    public string Protocol => _server.Protocol;

    /// <inheritdoc/>
    public IPEndPoint EndPoint => _port?.EndPoint ?? _options.Listen;

    /// <inheritdoc/>
    IEnumerable<GatewayDoor> IGatewayDoors.Doors =>
        [new(Name, EndPoint) { IsEncrypted = _options.Tls is not null, Passwords = PasswordDemand.Always }];

    /// <inheritdoc/>
    public void AddMetrics(Meter meter)
    {
        _server.Metrics.AddTo(meter);
        _certificates?.AddTo(meter);
        new AmqpMetrics(_server.Metrics, _alarms, _look)
        {
            Connections = () => Connections.Select(static connection => connection.Describe()).OfType<ConnectionDescription>(),
            Broker = () => _broker,
            Totals = () => Volatile.Read(ref _registry)?.Totals,
        }.AddTo(meter);
        meter.CreateObservableUpDownCounter("orleansmq.amqp.memory", () => Memory.Used, "By",
            "Memory of AMQP messages: in queues in memory, on their way, and incomplete.");
        meter.CreateObservableCounter("orleansmq.amqp.blocked", () => _alarms.Count, "{time}",
            "How often AMQP publishers were blocked, for memory or for the disk.");
    }

    /// <inheritdoc/>
    public ValueTask RefreshAsync(CancellationToken ended) =>
        Volatile.Read(ref _registry) is { } registry ? _look.RefreshAsync(registry.CountLedAsync, ended) : default;

    /// <inheritdoc/>
    public Task ListenAsync(CancellationToken cancellationToken)
    {
        _port = GatewayPort.Listen(_server, _options.Listen, certificates: _certificates);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Open(HostedBroker broker)
    {
        _broker = broker;
        if (broker.Access.Quotas is { } quotas)
            _server.Admission = address => quotas.Connect(address.ToString(), BrokerQuotas.MostConnectWait);
        _server.Open(client => new AmqpConnection(_server, client, _settings, this, _alarms,
            broker.Access.Quotas));
        // The management API of any broker asks all of them.
        broker.Peers.Answer(ManagementGateway.GatewayName, new BrokerAnswers(this, broker.BrokerId, _options.Log).AnswerAsync);
        // Queues that expire, or dead-letter what expires, do so from the start.
        _opening = OpenEarlyAsync();
    }

    /// <inheritdoc/>
    public void Drain() => _server.Drain();

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken deadline) => _port?.StopAsync(deadline) ?? Task.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask<LoginResult> LoginAsync(AmqpLogin login, AmqpClient client)
    {
        try
        {
            return await (await AccessAsync().ConfigureAwait(false)).LoginAsync(login, client).ConfigureAwait(false);
        }
        catch (NotSupportedException none)
        {
            return new LoginResult(LoginOutcome.Refused, none.Message);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IAmqpSession> OpenAsync(string virtualHost, AmqpClient client) =>
        await (await AccessAsync().ConfigureAwait(false)).OpenAsync(virtualHost, client).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        await _closed.CancelAsync().ConfigureAwait(false);
        await _opening.ConfigureAwait(false);
        if (_looking is not null)
            await _looking.DisposeAsync().ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
        // A broker that does not have this gateway has no connections.
        _broker?.Peers.Answer(ManagementGateway.GatewayName, null);
        if (_certificates is not null)
            await _certificates.DisposeAsync().ConfigureAwait(false);
        await _alarms.DisposeAsync().ConfigureAwait(false);
        _replies?.Dispose();
        if (_registry is not null)
            await _registry.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>The memory of messages.</summary>
    internal MemoryBudget Memory { get; }

    /// <summary>The room for batches on their way to queues on the log; null before a connection has opened a virtual host.</summary>
    internal BatchRoom? Copies => Volatile.Read(ref _registry)?.Copies;

    /// <summary>The memory of what clients have not read, and of what may become dead letters; null before a connection has opened a
    /// virtual host.</summary>
    internal (CopyMemory Unread, CopyMemory Kept)? Deliveries =>
        Volatile.Read(ref _registry) is { } registry ? (registry.Unread, registry.Kept) : null;

    /// <summary>Why publishers are blocked; null: they are not.</summary>
    internal string? BlockedFor => _alarms.Reason;

    /// <summary>The largest body of a message.</summary>
    internal int MaxMessageBytes => _options.MaxMessageBytes;

    /// <summary>Returns the connections of this broker.</summary>
    internal IEnumerable<AmqpConnection> Connections => _server.Connections.OfType<AmqpConnection>();

    /// <summary>The queues that this broker leads, or has in memory, as of the last <see cref="RefreshAsync"/>.</summary>
    internal IReadOnlyList<CountedQueue> LedQueues => _look.Queues;

    /// <summary>Where this broker's management API listens; null: it has none, or has not opened it.</summary>
    internal IPEndPoint? ManagementEndPoint { get; set; }

    /// <summary>Returns the open queues, and with them the virtual hosts.</summary>
    /// <exception cref="NotSupportedException">This broker has none.</exception>
    internal async ValueTask<QueueRegistry> OpenQueuesAsync()
    {
        await AccessAsync().ConfigureAwait(false);
        return _registry!;
    }

    private void EndForced()
    {
        foreach (var connection in Connections)
            connection.EndIfForced();
    }

    // Any partition knows the volume of all. Appends report a volume that cannot be asked.
    private bool IsDiskShort()
    {
        try
        {
            return _broker?.Local.Held.FirstOrDefault()?.Ports.Space.IsShort() == true;
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private async ValueTask<AmqpAccess> AccessAsync()
    {
        if (_access is { } known)
            return known;
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_access is { } opened)
                return opened;
            var hosts = await _broker!.OpenVirtualHosts().ConfigureAwait(false);
            WarnOfGuest(hosts);
            _registry = new QueueRegistry(_broker, hosts, _options.TimeProvider, _options.Log, Memory);
            _looking = _options.TimeProvider.CreateTimer(_ => EndForced(), null, LookPause, LookPause);
            return _access = new AmqpAccess(_registry, _replies = new DirectReplies(_broker), _options.MaxConsumersPerConnection,
                _options.MaxConsumersPerUser);
        }
        finally
        {
            _gate.Release();
        }
    }

    private void WarnOfGuest(IVirtualHosts hosts)
    {
        if (_broker!.Security is { Enforces: true } && UserState.MayLogIn(hosts.Users.FindUser(UserState.Guest), UserState.Guest, true))
            _options.Log.Write(EngineLogLevel.Warning, "AMQP has the user 'guest' with the password 'guest', which everyone knows, while "
                + "rules of access control are enforced: everyone on this machine administers AMQP. Give it another password, or make "
                + "another administrator and delete it: PUT and DELETE /api/users of the management API.");
    }

    private async Task OpenEarlyAsync()
    {
        for (var pause = MinPause; !await TryOpenEarlyAsync().ConfigureAwait(false); pause = pause * 2 < MaxPause ? pause * 2 : MaxPause)
        {
            await Task.Delay(pause, _options.TimeProvider, _closed.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_closed.IsCancellationRequested)
                return;
        }
    }

    // Whether it is done.
    private async Task<bool> TryOpenEarlyAsync()
    {
        try
        {
            await AccessAsync().ConfigureAwait(false);
            await _registry!.OpenActiveAsync().ConfigureAwait(false);
            return true;
        }
        catch (NotSupportedException none)
        {
            _options.Log.Write(EngineLogLevel.Warning, $"AMQP clients cannot log in: {none.Message}");
            return true;
        }
        catch (Exception fault)
        {
            _options.Log.Write(EngineLogLevel.Warning, "Virtual hosts could not be opened, or what deleted queues have left could not be "
                + "deleted. That is tried again.", fault);
            return false;
        }
    }
}
