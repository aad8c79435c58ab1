using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups.Coordination;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Quotas;
using OrleansMq.Security;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Topics;
using OrleansMq.Transactions;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Brokers;

/// <summary>The broker in one process: the engine behind the broker API, without a cluster. Thread safe.
/// <para>Its own methods neither authorize nor count: they are what is behind the door. Callers open a session of
/// <see cref="Access"/>.</para></summary>
internal sealed class LocalBroker : IBroker, ITopicAppends, ITopicDeletion, ITopicLookup, ILocalPartitions, IAsyncDisposable
{
    private readonly BrokerOptions _options;
    private readonly DataDirectory _directory;
    private readonly PartitionStore _partitions;
    private readonly LocalTopics _topics;
    private readonly ProducerIds _producerIds;
    private readonly GroupCoordinators _groups;
    private readonly TransactionCoordinators _transactions;
    private readonly TransactionWatch _transactionWatch;
    private readonly JournaledStateStore _state;
    private readonly Lock _gate = new();
    private Task<VirtualHostOwners>? _virtualHosts;
    private int _disposed;

    private LocalBroker(BrokerOptions options, DataDirectory directory, PartitionStore partitions, LocalTopics topics,
        JournaledStateStore state, SoleBrokerMetadata metadata, BrokerSecurity security)
    {
        Metadata = metadata;
        _options = options;
        _directory = directory;
        _partitions = partitions;
        _topics = topics;
        _state = state;
        _producerIds = new ProducerIds(state);
        Security = security;
        var sights = Security.SightsOver(options.Authorizer);
        _groups = new GroupCoordinators(options.BrokerId.Value, state, metadata, options.Groups, options.TimeProvider, options.Log,
            sights is null ? null : () => sights.Current, () => Transactions);
        _transactions = new TransactionCoordinators(options.BrokerId.Value, state,
            new LocalParticipants((TopicPartition partition, out ErrorCode error) => Find(partition, out error, out _), () => Groups),
            async cancellationToken => (await InitProducerIdAsync(cancellationToken).ConfigureAwait(false)).ProducerId,
            options.Transactions, options.TimeProvider, options.Log);
        Queues = new LocalQueues(partition => Find(partition, out var error, out var message)
            ?? throw new BrokerException(error, message!));
        Schedules = new RoutedSchedules(this, partition => (Find(partition, out var error, out var message)
            ?? throw new BrokerException(error, message!)).Schedules, options.TimeProvider);
        Quotas = new BrokerQuotas(() => state, options.Log, options.TimeProvider);
        Access = new BrokerAccess(this, this, Security.AuthorizerOver(options.Authorizer), options.Meter, options.Log, Quotas);
        // Dead letters that were decided before are published from now on, and records that are due are appended.
        partitions.Ports.DeadLetters = new DeadLetterPublisher(() => this, options.Codecs, options.Log, options.TimeProvider);
        partitions.Ports.Broker = () => this;
        partitions.BeginCursors();
        _transactions.Wake();
        _transactionWatch = new TransactionWatch(this, () => _transactions, _transactions.Producers, options.Transactions,
            options.TimeProvider, options.Log);
    }

    /// <summary>The door to this broker.</summary>
    public BrokerAccess Access { get; }

    /// <summary>Users and rules.</summary>
    public BrokerSecurity Security { get; }

    /// <summary>What clients may use.</summary>
    public BrokerQuotas Quotas { get; }

    /// <summary>The version of the engine.</summary>
    public static string Version { get; } =
        typeof(LocalBroker).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0]
        ?? "0.0.0";

    /// <summary>The partitions on this broker, online or not: what metrics are read from.</summary>
    public IReadOnlyCollection<Partition> Partitions => _partitions.Partitions;

    /// <inheritdoc/>
    IReadOnlyCollection<Partition> ILocalPartitions.Held => _partitions.Partitions;

    /// <summary>Made when the data directory was first used.</summary>
    public string ClusterId => _directory.ClusterId;

    /// <summary>The topics, and the one broker that leads all their partitions. The version rises with every change of a topic.</summary>
    public SoleBrokerMetadata Metadata { get; }

    /// <inheritdoc/>
    public IClusterAdministration Administration => SoleBrokerAdministration.Instance;

    /// <inheritdoc/>
    public IGroupCoordinator Groups => _groups;

    /// <inheritdoc/>
    public ITransactionCoordinator Transactions => _transactions;

    /// <summary>The coordinators of <see cref="Transactions"/>.</summary>
    internal TransactionCoordinators TransactionalIds => _transactions;

    /// <inheritdoc/>
    public IQueues Queues { get; }

    /// <inheritdoc/>
    public ISchedules Schedules { get; }

    /// <summary>Opens the data directory (created where it does not exist) and recovers what is in it.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    public static async Task<LocalBroker> OpenAsync(BrokerOptions options, CancellationToken cancellationToken = default)
    {
        options.Validate();
        var files = options.FileSystem ?? DiskFileSystem.Instance;
        options = options with { FileSystem = files, DataDirectory = Path.GetFullPath(options.DataDirectory) };
        var directory = await Task.Run(() => DataDirectory.Open(files, options.DataDirectory, options.BrokerId),
            cancellationToken).ConfigureAwait(false);
        PartitionStore? partitions = null;
        JournaledStateStore? state = null;
        BrokerSecurity? security = null;
        LocalBroker? broker = null;
        try
        {
            state = await Task.Run(() => directory.OpenState(options.Log), cancellationToken).ConfigureAwait(false);
            security = new BrokerSecurity(() => state, options.Security, new AclAuthorizer(options.Security), options.Log,
                options.TimeProvider);
            var stored = await StoredTopics.ReadAsync(state, options).ConfigureAwait(false);
            partitions = await PartitionStore.OpenAsync(options, stored.FindConfig, stored.Lists, cancellationToken)
                .ConfigureAwait(false);
            await ProducerIds.MendAsync(state, partitions.HighestProducerId, options.Log).ConfigureAwait(false);
            var metadata = new SoleBrokerMetadata(RegistrationOf(options, directory), () => broker!.Describe());
            var topics = await LocalTopics.OpenAsync(state, options, partitions, stored, metadata).ConfigureAwait(false);
            broker = new LocalBroker(options, directory, partitions, topics, state, metadata, security);
            await broker.Security.OpenAsync(follows: false).ConfigureAwait(false);
            await broker.Security.EnsureAdminAsync(cancellationToken).ConfigureAwait(false);
            await broker.Quotas.OpenAsync(follows: false).ConfigureAwait(false);
            return broker;
        }
        catch when (broker is not null)
        {
            await broker.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        catch
        {
            if (security is not null)
                await security.DisposeAsync().ConfigureAwait(false);
            if (partitions is not null)
                await partitions.DisposeAsync().ConfigureAwait(false);
            if (state is not null)
                await state.DisposeAsync().ConfigureAwait(false);
            directory.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        Describe(await _topics.CreateAsync(topic, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        new(_topics.DeleteAsync(topic, topicId: null, cancellationToken));

    /// <inheritdoc/>
    ValueTask ITopicDeletion.DeleteTopicAsync(string topic, Guid topicId, CancellationToken cancellationToken) =>
        new(_topics.DeleteAsync(topic, topicId, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        new([.. _topics.Served.Select(topic => topic.Listing).OrderBy(topic => topic.Name, StringComparer.Ordinal)]);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        Answer(() => Describe(_topics.Get(topic)));

    /// <inheritdoc/>
    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        _topics.TryGet(topic, out var served) ? new(served.Listing) : Answer(() => _topics.Get(topic).Listing);

    /// <inheritdoc/>
    ValueTask<TopicListing> ITopicLookup.GetCurrentTopicAsync(string topic, CancellationToken cancellationToken) =>
        GetTopicAsync(topic, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        Describe(await _topics.AlterAsync(topic, configs, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount,
        CancellationToken cancellationToken = default)
    {
        await OrderedQueues.DemandNoneAsync(this, topic, cancellationToken).ConfigureAwait(false);
        return Describe(await _topics.AddPartitionsAsync(topic, totalCount, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) => AppendAsync(null, partition, batch, acks, cancellationToken);

    /// <inheritdoc/>
    ValueTask<ProduceResult> ITopicAppends.ProduceToAsync(Guid topicId, TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken) => AppendAsync(topicId, partition, batch, acks, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken = default) =>
        AppendAsync(transaction.TopicId, partition, batch, Acks.All, cancellationToken, new VerifiedTransaction(transaction.Number));

    private ValueTask<ProduceResult> AppendAsync(Guid? topicId, TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken, in VerifiedTransaction verified = default)
    {
        if (Find(partition, out var error, out var message) is not { } found)
            return new(ProduceResult.Failed(error, message!));
        if (topicId is { } id && id != found.TopicId)
            return new(ProduceResult.Failed(ErrorCode.UnknownTopicId, TopicCatalogue.OtherTopic(partition.Topic, id)));
        if (!acks.IsKnown())
            return new(ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, $"Acks is {(int)acks}; allowed are {AcksLevels.Allowed}."));
        return found.AppendAsync(batch, acks, cancellationToken, verified: verified);
    }

    /// <inheritdoc/>
    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        Find(request.Partition, out var error, out var message) is { } found
            ? found.ReadAsync(request, cancellationToken)
            : new(FetchResult.Failed(error, message!));

    /// <inheritdoc/>
    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) =>
        new(Find(partition, out var error, out var message) is { } found ? found.FindOffset(spec)
            : new OffsetResult(error, -1, Message: message));

    /// <inheritdoc/>
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        Find(partition, out var error, out var message) is { } found
            ? found.DeleteRecordsAsync(beforeOffset, cancellationToken)
            : ValueTask.FromException<long>(new BrokerException(error, message!));

    /// <inheritdoc/>
    public async ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await _producerIds.NextAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or StateConflictException)
        {
            throw new BrokerException(ErrorCode.KafkaStorageError, $"No producer id could be taken: {exception.Message}", exception);
        }
    }

    /// <inheritdoc/>
    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) => new(Describe());

    /// <inheritdoc/>
    public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found)
    {
        found = _topics.TryGet(partition.Topic, out var topic) ? topic.Find(partition, out _) : null;
        return found is not null;
    }

    /// <summary>Returns the virtual hosts of AMQP. The first call opens them, and creates those of a new installation.</summary>
    /// <exception cref="IOException">A document cannot be read or written. The next call tries again.</exception>
    public Task<VirtualHostOwners> OpenVirtualHostsAsync()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed != 0, this);
            return _virtualHosts is null or { IsFaulted: true }
                ? _virtualHosts = Task.Run(() => VirtualHostOwners.OpenAsync(_state, _options.Log,
                    AmqpUserRules.Of(_options.Security))) : _virtualHosts;
        }
    }

    /// <summary>Drains and closes cleanly.</summary>
    public async ValueTask DisposeAsync()
    {
        Task<VirtualHostOwners>? virtualHosts;
        lock (_gate)
        {
            if (_disposed != 0)
                return;
            _disposed = 1;
            virtualHosts = _virtualHosts;
        }
        if (virtualHosts is not null)
        {
            await virtualHosts.ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
            if (virtualHosts.IsCompletedSuccessfully)
                await virtualHosts.Result.DisposeAsync().ConfigureAwait(false);
        }
        await Security.DisposeAsync().ConfigureAwait(false);
        await Quotas.DisposeAsync().ConfigureAwait(false);
        await _transactionWatch.DisposeAsync().ConfigureAwait(false);
        await _transactions.DisposeAsync().ConfigureAwait(false);
        await _groups.DisposeAsync().ConfigureAwait(false);
        await _topics.CloseAsync().ConfigureAwait(false);
        try
        {
            await _partitions.DisposeAsync().ConfigureAwait(false);
        }
        finally
        {
            try
            {
                await _state.DisposeAsync().ConfigureAwait(false);
            }
            finally
            {
                _directory.Dispose();
            }
        }
    }

    private Partition? Find(TopicPartition partition, out ErrorCode error, out string? message)
    {
        message = null;
        if (!_topics.TryGet(partition.Topic, out var topic))
        {
            (error, message) = _topics.WhyNot(partition.Topic);
            return null;
        }
        var found = topic.Find(partition, out error);
        if (found is null)
            message = error == ErrorCode.KafkaStorageError ? _topics.MissingReason(partition)
                : TopicCatalogue.UnknownPartition(partition, topic.Partitions.Count);
        return found;
    }

    private static BrokerRegistration RegistrationOf(BrokerOptions options, DataDirectory directory) =>
        new() { BrokerId = options.BrokerId.Value, Version = Version, DataDirectory = directory.Path };

    private ClusterDescription Describe()
    {
        var missing = _topics.Served.Sum(topic => topic.Partitions.Count(partition => partition is null));
        var offline = _partitions.Partitions.Count(partition => partition.OfflineReason is not null);
        var online = _partitions.Partitions.Count - offline;
        return new ClusterDescription(ClusterId, "standalone",
            [new BrokerDescription(_options.BrokerId.Value, Version, online, offline + missing, _directory.Path)]);
    }

    private TopicDescription Describe(ServedTopic topic)
    {
        var partitions = new PartitionDescription[topic.Partitions.Count];
        for (var number = 0; number < partitions.Length; number++)
        {
            var name = new TopicPartition(topic.State.Name, number);
            partitions[number] = topic.Partitions[number] is { } partition
                ? PartitionDescriptions.Describe(partition, _options.BrokerId)
                : PartitionDescriptions.Missing(name, _options.BrokerId, _topics.MissingReason(name));
        }
        return topic.State.Describe(partitions, topic.Config);
    }

    // An exception belongs into the task, not into the caller's stack.
    private static ValueTask<T> Answer<T>(Func<T> answer)
    {
        try
        {
            return new(answer());
        }
        catch (BrokerException exception)
        {
            return ValueTask.FromException<T>(exception);
        }
    }
}
