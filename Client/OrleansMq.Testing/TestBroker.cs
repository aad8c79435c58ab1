using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Hosting;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Testing;

/// <summary>Options of a <see cref="TestBroker"/>.</summary>
public sealed record TestBrokerOptions
{
    /// <summary>
    /// Whether records are kept in memory instead of a temporary directory: true by default. Nothing is then written to disk, and nothing
    /// is left behind.
    /// </summary>
    public bool InMemory { get; init; } = true;

    /// <summary>Whether Kafka clients can connect, at <see cref="TestBroker.KafkaAddress"/>, a free port of 127.0.0.1: false by
    /// default.</summary>
    public bool Kafka { get; init; }

    /// <summary>The clock of broker and client: the system clock by default. Use a <see cref="ManualTimeProvider"/> to control
    /// time.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The configuration of topics that set nothing themselves.</summary>
    public TopicConfig TopicDefaults { get; init; } = TopicConfig.Default;

    /// <summary>Options of the client's producers and readers. Their time provider is set by <see cref="TimeProvider"/>.</summary>
    public OrleansMqClientOptions Client { get; init; } = new();
}

/// <summary>
/// A complete broker inside the test process, without network (unless Kafka clients are enabled), and a client for it:
/// <code>
/// await using var broker = await TestBroker.StartAsync();
/// await broker.Client.Admin.CreateTopicAsync("orders", partitions: 3);
/// </code>
/// Disposing it stops the broker and deletes its data. Tests may run in parallel: each broker has its own data.
/// </summary>
public sealed class TestBroker : IAsyncDisposable
{
    private readonly TestBrokerOptions _options;
    private readonly IFileSystem _files;
    private LocalBroker _broker;
    private KafkaGateway? _gateway;

    private TestBroker(TestBrokerOptions options, IFileSystem files, string directory, LocalBroker broker)
    {
        _options = options;
        _files = files;
        DataDirectory = directory;
        _broker = broker;
        Client = CreateClient(broker, options);
    }

    /// <summary>A client of the broker. <see cref="RestartAsync"/> replaces it.</summary>
    public OrleansMqClient Client { get; private set; }

    /// <summary>The broker itself.</summary>
    public IBroker Broker => _broker;

    /// <summary>The value of <c>bootstrap.servers</c> for Kafka clients; unchanged by <see cref="RestartAsync"/>.</summary>
    /// <exception cref="InvalidOperationException"><see cref="TestBrokerOptions.Kafka"/> is off.</exception>
    public string KafkaAddress => _gateway?.EndPoint.ToString()
        ?? throw new InvalidOperationException("Start the broker with TestBrokerOptions { Kafka = true } to reach it with Kafka clients.");

    /// <summary>The broker's data directory: a temporary directory, or a path in memory.</summary>
    public string DataDirectory { get; }

    /// <summary>Starts a broker.</summary>
    /// <param name="options">Null for the defaults: in memory, with the system clock.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    public static async Task<TestBroker> StartAsync(TestBrokerOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new TestBrokerOptions();
        IFileSystem files = options.InMemory ? new MemoryFileSystem(tracksPowerCuts: false) : DiskFileSystem.Instance;
        var directory = Path.Combine(Path.GetTempPath(), $"orleansmq-test-{Guid.NewGuid():n}");
        try
        {
            var broker = new TestBroker(options, files, directory,
                await OpenAsync(options, files, directory, cancellationToken).ConfigureAwait(false));
            broker.Listen(port: 0);
            return broker;
        }
        catch
        {
            files.DeleteDirectory(directory);
            throw;
        }
    }

    /// <summary>Stops the broker cleanly and starts it again over the same data. Producers and readers of the old client fail
    /// afterwards.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken = default)
    {
        var port = _gateway?.EndPoint.Port ?? 0;
        await CloseAsync().ConfigureAwait(false);
        _broker = await OpenAsync(_options, _files, DataDirectory, cancellationToken).ConfigureAwait(false);
        Client = CreateClient(_broker, _options);
        Listen(port);
    }

    /// <summary>Stops the broker and deletes its data.</summary>
    public async ValueTask DisposeAsync()
    {
        await CloseAsync().ConfigureAwait(false);
        _files.DeleteDirectory(DataDirectory);
    }

    // Long polls of Kafka clients end by the system clock, since a client waits for them however the test's clock moves.
    private void Listen(int port)
    {
        if (!_options.Kafka)
            return;
        _gateway = new KafkaGateway(new KafkaGatewayOptions { Listen = new IPEndPoint(IPAddress.Loopback, port) });
        _gateway.Listen();
        _gateway.Open(new HostedBroker(0, _broker.ClusterId, _broker.Access, _broker, _broker.Metadata, _broker));
    }

    private async ValueTask CloseAsync()
    {
        if (_gateway is not null)
        {
            await _gateway.StopAsync(CancellationToken.None).ConfigureAwait(false);
            await _gateway.DisposeAsync().ConfigureAwait(false);
        }
        await _broker.DisposeAsync().ConfigureAwait(false);
    }

    private static Task<LocalBroker> OpenAsync(TestBrokerOptions options, IFileSystem files, string directory,
        CancellationToken cancellationToken) =>
        LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = directory,
            FileSystem = files,
            TimeProvider = options.TimeProvider,
            Codecs = StandardCodecs.All,
            TopicDefaults = options.TopicDefaults,
            // A test's data is small, so the limit for free disk space is disabled.
            MinFreeBytes = 0,
        }, cancellationToken);

    private static OrleansMqClient CreateClient(LocalBroker broker, TestBrokerOptions options) => new(
        broker.Access.Open(BrokerSession.InProcess).Broker, options.Client with
    {
        Producer = options.Client.Producer with { TimeProvider = options.TimeProvider },
        Reader = options.Client.Reader with { TimeProvider = options.TimeProvider },
    });
}
