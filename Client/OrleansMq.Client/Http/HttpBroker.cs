using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// A broker reached over its HTTP API (HTTP/1.1 with pooled connections). Errors of the broker keep their <see cref="ErrorCode"/>. If no
/// broker answers, administration throws <see cref="BrokerUnreachableException"/>. The data path then returns
/// <see cref="ErrorCode.LeaderNotAvailable"/> (certainly not executed) or <see cref="ErrorCode.RequestTimedOut"/> (outcome unknown).
/// <para>Any broker of a cluster serves any request. With several addresses it uses one until that broker is unreachable or cannot serve,
/// then the next. It switches within the same call if nothing was executed, otherwise with the next call, such as a producer's
/// retry.</para>
/// Thread-safe; one object serves a whole process.
/// </summary>
public sealed partial class HttpBroker : IBroker, IDisposable
{
    private readonly HttpClient _http;
    private readonly bool _ownsHttp;
    private readonly HttpBrokerOptions _options;
    private readonly BrokerAddresses _addresses;
    private readonly Witness? _witness;
    private readonly AuthenticationHeaderValue? _authorization;

    // One batch at a time per partition: requests on pooled connections can overtake each other, and the broker rejects a batch whose
    // predecessor has not arrived. Grows with the number of partitions written to, as other per-partition state does.
    private readonly ConcurrentDictionary<TopicPartition, SemaphoreSlim> _turns = new();

    /// <summary>Creates a broker for an address such as <c>http://127.0.0.1:8080</c>. Sends nothing yet.</summary>
    /// <exception cref="ArgumentException">The address is not an absolute http or https URL, a file of certificates cannot be read,
    /// or both a user and a token are given.</exception>
    public HttpBroker(Uri baseAddress, HttpBrokerOptions? options = null) : this([baseAddress], options) { }

    /// <summary>Creates a broker for a cluster, given the addresses of some or all of its brokers. Sends nothing yet.</summary>
    /// <exception cref="ArgumentException">There is no address, or one is not an absolute http or https URL, a file of certificates cannot
    /// be read, or both a user and a token are given.</exception>
    public HttpBroker(IReadOnlyList<Uri> addresses, HttpBrokerOptions? options = null) : this(new Witness(), addresses, options) { }

    /// <summary>Creates a broker over the caller's HTTP client, which is not disposed.</summary>
    /// <exception cref="ArgumentException">The address is not an absolute http or https URL, or both a user and a token are
    /// given.</exception>
    public HttpBroker(HttpClient http, Uri baseAddress, HttpBrokerOptions? options = null) : this(http, [baseAddress], options) { }

    /// <summary>Creates a broker for a cluster over the caller's HTTP client, which is not disposed.</summary>
    /// <exception cref="ArgumentException">There is no address, or one is not an absolute http or https URL, or both a user and a token are
    /// given.</exception>
    public HttpBroker(HttpClient http, IReadOnlyList<Uri> addresses, HttpBrokerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(http);
        _http = http;
        _options = options ?? new HttpBrokerOptions();
        if (_options is { User: not null, Token: not null })
            throw new ArgumentException("A request is sent as a user or with a token, not both. Set User or Token.", nameof(options));
        if (_options.User is { } user)
            _authorization = new AuthenticationHeaderValue("Basic",
                Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{_options.Password}")));
        _addresses = new BrokerAddresses(addresses);
        Administration = new HttpClusterAdministration(this);
        Groups = new HttpGroupCoordinator(this);
        Queues = new HttpQueues(this);
        Schedules = new HttpSchedules(this);
        Transactions = new HttpTransactions(this);
        Security = new HttpSecurity(this);
    }

    private HttpBroker(Witness witness, IReadOnlyList<Uri> addresses, HttpBrokerOptions? options)
        : this(new HttpClient(CreateHandler(options ?? new HttpBrokerOptions(), witness),
            disposeHandler: true) { Timeout = Timeout.InfiniteTimeSpan },
            addresses, options) => (_ownsHttp, _witness) = (true, witness);

    /// <summary>
    /// Whether any of the addresses ever accepted a connection. Tells a broker that went away from a wrong address. Always false with the
    /// caller's own HTTP client.
    /// </summary>
    internal bool HasConnected => _witness?.HasConnected == true;

    /// <summary>The address of the broker that is used now.</summary>
    public Uri BaseAddress => _addresses.Current;

    /// <inheritdoc/>
    public IClusterAdministration Administration { get; }

    /// <inheritdoc/>
    public IGroupCoordinator Groups { get; }

    /// <inheritdoc/>
    public IQueues Queues { get; }

    /// <inheritdoc/>
    public ISchedules Schedules { get; }

    /// <inheritdoc/>
    public ITransactionCoordinator Transactions { get; }

    /// <summary>Users and rules.</summary>
    internal HttpSecurity Security { get; }

    /// <inheritdoc/>
    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(topic);
        var body = new CreateTopicBody(topic.Partitions, topic.ReplicationFactor, topic.Configs,
            topic.AllowFewerReplicas ? true : null);
        return AskAsync(HttpMethod.Put, TopicPath(topic.Name), () => JsonContent.Create(body, HttpJson.Default.CreateTopicBody),
            HttpJson.Default.TopicDescription, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        TellAsync(HttpMethod.Delete, TopicPath(topic), null, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, "api/topics", null, HttpJson.Default.IReadOnlyListTopicListing, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, TopicPath(topic), null, HttpJson.Default.TopicDescription, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        var description = await DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        return new TopicListing(description.Name, description.TopicId, description.Partitions.Count);
    }

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        // The HTTP API rejects a request without changes; the broker API accepts it.
        configs.Count == 0 ? DescribeTopicAsync(topic, cancellationToken)
        : PatchAsync(topic, new AlterTopicBody(Configs: configs), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        PatchAsync(topic, new AlterTopicBody(Partitions: totalCount), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset,
        CancellationToken cancellationToken = default)
    {
        // The end is found once: a request that is sent again, or carried out late, deletes no record that came after the caller's.
        var body = new DeleteRecordsBody(beforeOffset == -1
            ? await EndOfAsync(partition, cancellationToken).ConfigureAwait(false) : beforeOffset);
        var response = await AskAsync(HttpMethod.Post, PartitionPath(partition) + "/delete-records",
            () => JsonContent.Create(body, HttpJson.Default.DeleteRecordsBody), HttpJson.Default.DeleteRecordsResponse,
            cancellationToken).ConfigureAwait(false);
        return response.LogStartOffset;
    }

    /// <inheritdoc/>
    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Post, "api/producers", null, HttpJson.Default.ProducerIdentity, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        AskAsync(HttpMethod.Get, "api/cluster", null, HttpJson.Default.ClusterDescription, cancellationToken);

    /// <summary>Closes the connections; requests in flight fail.</summary>
    public void Dispose()
    {
        if (_ownsHttp)
            _http.Dispose();
    }

    private static SocketsHttpHandler CreateHandler(HttpBrokerOptions options, Witness witness) => new()
    {
        // Called for each new connection, with its stream.
        PlaintextStreamFilter = (connection, _) =>
        {
            witness.HasConnected = true;
            return new ValueTask<Stream>(connection.PlaintextStream);
        },
        SslOptions = HttpBrokerTls.Create(options),
        ConnectTimeout = options.ConnectTimeout,
        MaxConnectionsPerServer = options.MaxConnections,
        PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2),
        UseCookies = false,
        AllowAutoRedirect = false,
    };

    private static string TopicPath(string topic) => "api/topics/" + Uri.EscapeDataString(topic);

    private static string PartitionPath(TopicPartition partition) =>
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{TopicPath(partition.Topic)}/partitions/{partition.Partition}");

    private ValueTask<TopicDescription> PatchAsync(string topic, AlterTopicBody body, CancellationToken cancellationToken) =>
        AskAsync(HttpMethod.Patch, TopicPath(topic), () => JsonContent.Create(body, HttpJson.Default.AlterTopicBody),
            HttpJson.Default.TopicDescription, cancellationToken);

    /// <summary>Notes that a connection was established, including those of the handler's own retries.</summary>
    private sealed class Witness
    {
        private volatile bool _hasConnected;

        public bool HasConnected
        {
            get => _hasConnected;
            set => _hasConnected = value;
        }
    }
}
