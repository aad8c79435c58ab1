using System.Net;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Testing;

/// <summary>How a <see cref="TestBroker"/> is started.</summary>
public sealed record TestBrokerOptions
{
    /// <summary>
    /// Whether records are kept in memory rather than in a temporary directory: yes by default. Nothing is written to disk then, and
    /// nothing is left behind.
    /// </summary>
    public bool InMemory { get; init; } = true;

    /// <summary>Whether Kafka clients can connect, at <see cref="TestBroker.KafkaAddress"/>, a free port of 127.0.0.1: no by
    /// default.</summary>
    public bool Kafka { get; init; }

    /// <summary>Where broker and client take the time from: the system by default; a <see cref="ManualTimeProvider"/> to decide
    /// yourself.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The configuration topics have where they set nothing.</summary>
    public TopicConfig TopicDefaults { get; init; } = TopicConfig.Default;

    /// <summary>What the client's producers and readers have; their time provider is set by <see cref="TimeProvider"/>.</summary>
    public OrleansMqClientOptions Client { get; init; } = new();
}

/// <summary>
/// A whole broker inside the test process, without network and without a port (unless Kafka clients are to reach it), and a client for it:
/// <code>
/// await using var broker = await TestBroker.StartAsync();
/// await broker.Client.Admin.CreateTopicAsync("orders", partitions: 3);
/// </code>
/// Disposing it stops the broker and deletes what it wrote. Tests may run side by side: each broker has data of its own.
/// </summary>
public sealed class TestBroker : IAsyncDisposable
{
    private readonly TestBrokerOptions _options;
    private readonly IFileSystem _files;
    private LocalBroker _broker;
    private KafkaGateway? _gateway;
    private KafkaPort? _port;

    private TestBroker(TestBrokerOptions options, IFileSystem files, string directory, LocalBroker broker)
    {
        _options = options;
        _files = files;
        DataDirectory = directory;
        _broker = broker;
        Client = CreateClient(broker, options);
    }

    /// <summary>A client of the broker. After <see cref="RestartAsync"/> it is a new one.</summary>
    public OrleansMqClient Client { get; private set; }

    /// <summary>The broker itself.</summary>
    public LocalBroker Broker => _broker;

    /// <summary>What Kafka clients take for <c>bootstrap.servers</c>; the same after <see cref="RestartAsync"/>.</summary>
    /// <exception cref="InvalidOperationException"><see cref="TestBrokerOptions.Kafka"/> is off.</exception>
    public string KafkaAddress => _port?.EndPoint.ToString()
        ?? throw new InvalidOperationException("Start the broker with TestBrokerOptions { Kafka = true } to reach it with Kafka clients.");

    /// <summary>Where the broker keeps its data: a temporary directory, or a place in memory.</summary>
    public string DataDirectory { get; }

    /// <summary>Starts a broker.</summary>
    /// <param name="options">Null for the defaults: in memory, by the system's clock.</param>
    /// <param name="cancellationToken">Ends the start.</param>
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

    /// <summary>Stops the broker cleanly and starts it again over the same data. Producers and readers of the old client fail from then
    /// on.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken = default)
    {
        var port = _port?.EndPoint.Port ?? 0;
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

    // Long polls of Kafka clients end by the system's clock: a client waits for them, however slow the test's own clock is.
    private void Listen(int port)
    {
        if (!_options.Kafka)
            return;
        _gateway = new KafkaGateway(new KafkaGatewayOptions());
        _gateway.Open(_broker, _broker.Metadata, _broker, _broker.ClusterId);
        _port = KafkaPort.Listen(_gateway, new IPEndPoint(IPAddress.Loopback, port));
    }

    private async ValueTask CloseAsync()
    {
        if (_port is not null)
            await _port.DisposeAsync().ConfigureAwait(false);
        if (_gateway is not null)
            await _gateway.DisposeAsync().ConfigureAwait(false);
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
            // A test's data is small; one that fills the machine's disk has other worries.
            MinFreeBytes = 0,
        }, cancellationToken);

    private static OrleansMqClient CreateClient(LocalBroker broker, TestBrokerOptions options) => new(broker, new OrleansMqClientOptions
    {
        Producer = options.Client.Producer with { TimeProvider = options.TimeProvider },
        Reader = options.Client.Reader with { TimeProvider = options.TimeProvider },
    });
}
