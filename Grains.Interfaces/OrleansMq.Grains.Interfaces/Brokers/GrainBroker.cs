using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// The broker API over grains, for a silo or an Orleans client. If the partition's grain is active on this silo, calls go to the engine
/// directly. Otherwise a batch travels to the silo that leads the partition; it shares a call with others when two calls are already in
/// flight. Thread safe. On a silo it is the engine behind the door: it neither authorizes nor counts.
/// <para>A call that the cluster does not answer (a timeout or a dead silo, which an external client detects within seconds) ends as
/// <see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown, retry.</para>
/// <para>While a partition's leadership moves, idempotent requests (reads, lookups, deletion of records) are retried for a while. An append
/// fails at once with a retriable error, since only its sender knows the order of its batches.</para>
/// </summary>
internal sealed class GrainBroker : IBroker, ITopicAppends, ITopicDeletion, ITopicLookup
{
    private readonly IGrainFactory _grains;
    private readonly ILocalPartitions? _local;
    private readonly GrainBrokerOptions _options;
    private readonly IClusterMetadata? _metadata;
    private readonly TopicDirectory _topics;
    private readonly BrokerDeaths? _deaths;

    /// <summary>Creates a broker over a cluster.</summary>
    /// <param name="grains">An Orleans client, or a silo's grain factory.</param>
    /// <param name="local">On a silo, the partitions that are active there. Null on a client.</param>
    /// <param name="options">Times; null for the defaults.</param>
    /// <param name="metadata">On a silo of a replicated cluster, the pushed metadata, so that topics and brokers are answered from memory.
    /// Null: grains are asked.</param>
    public GrainBroker(IGrainFactory grains, ILocalPartitions? local = null, GrainBrokerOptions? options = null,
        IClusterMetadata? metadata = null)
    {
        _grains = grains;
        _local = local;
        _options = options ?? new GrainBrokerOptions();
        _metadata = metadata;
        // Orleans tells silos about deaths.
        _deaths = local is null && metadata is null ? new BrokerDeaths(() => Cluster.DescribeAsync(), _options.TimeProvider) : null;
        _topics = new TopicDirectory(grains, _options, metadata, _deaths, forwards: local is not null);
        Administration = new GrainAdministration(grains, _deaths);
        Groups = new GrainGroups(grains, _options);
        Transactions = new GrainTransactions(grains, _options);
        Queues = new GrainQueues(this, local, _options);
        Schedules = local is null ? new GrainSchedules(grains, this) : new RoutedSchedules(this,
            partition => new GrainPartitionSchedules(this, local, _options, partition), _options.TimeProvider);
    }

    /// <inheritdoc/>
    public IClusterAdministration Administration { get; }

    /// <inheritdoc/>
    public IGroupCoordinator Groups { get; }

    /// <inheritdoc/>
    public ITransactionCoordinator Transactions { get; }

    /// <inheritdoc/>
    public IQueues Queues { get; }

    /// <inheritdoc/>
    public ISchedules Schedules { get; }

    private IClusterGrain Cluster => _grains.GetBrokerGrain<IClusterGrain>(GrainKeys.Cluster);

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default)
    {
        var created = await AtControllerAsync($"Creating topic '{topic.Name}'", () => Cluster.CreateTopicAsync(topic, cancellationToken),
            cancellationToken).ConfigureAwait(false);
        _topics.Remember(created);
        return created;
    }

    /// <inheritdoc/>
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        DeleteAsync(topic, () => Cluster.DeleteTopicAsync(topic, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    ValueTask ITopicDeletion.DeleteTopicAsync(string topic, Guid topicId, CancellationToken cancellationToken) =>
        DeleteAsync(topic, () => Cluster.DeleteTopicByIdAsync(topic, topicId, cancellationToken), cancellationToken);

    private async ValueTask DeleteAsync(string topic, Func<Task> delete, CancellationToken cancellationToken)
    {
        _topics.Forget(topic);
        await AtControllerAsync($"Deleting topic '{topic}'", DeleteAsync, cancellationToken).ConfigureAwait(false);
        _topics.Forget(topic);

        async Task<bool> DeleteAsync()
        {
            await delete().ConfigureAwait(false);
            return true;
        }
    }

    // Again while another broker is taking the cluster's metadata over: nothing was done then. Nor was it by a call that Orleans rejects,
    // as one that was passed on too often while the grain moved. A controller whose silo ended may have done it.
    private async ValueTask<T> AtControllerAsync<T>(string what, Func<Task<T>> call, CancellationToken cancellationToken)
    {
        BrokerException? refused = null;
        var answer = await LeaderPatience.RepeatAsync<T?>(_options, async () =>
        {
            refused = null;
            try
            {
                return await AnswerAsync(what, call(), cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException moved) when (LeaderPatience.HasMoved(moved.Code))
            {
                refused = moved;
                return default;
            }
            catch (BrokerException rejected) when (rejected.InnerException is OrleansMessageRejectionException
                and not SiloUnavailableException)
            {
                refused = new BrokerException(ErrorCode.LeaderNotAvailable, $"{what} reached no controller: it was moving. Nothing was "
                    + "done. Retry.", rejected);
                return default;
            }
        }, _ => refused is not null, cancellationToken).ConfigureAwait(false);
        return refused is null ? answer! : throw refused;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        _metadata?.Image is { Version: > 0 } image
        ? [.. image.Names.Values.Select(id => image.Topics[id]).Where(topic => topic.Status == TopicStatus.Active)
            .Select(topic => topic.ToListing())]
        : await AnswerAsync("Listing topics", Cluster.ListTopicsAsync(cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        CheckNameOfExisting(topic);
        var call = Topic(topic).DescribeAsync(cancellationToken);
        var description = await AnswerAsync($"Describing topic '{topic}'", call, cancellationToken).ConfigureAwait(false);
        _topics.Remember(description);
        return description;
    }

    /// <inheritdoc/>
    public async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        CheckNameOfExisting(topic);
        var call = _topics.FindRecentAsync(topic).AsTask();
        var known = await AnswerAsync($"Looking up topic '{topic}'", call, cancellationToken).ConfigureAwait(false);
        return known?.Listing ?? throw UnknownTopic(topic);
    }

    /// <inheritdoc/>
    async ValueTask<TopicListing> ITopicLookup.GetCurrentTopicAsync(string topic, CancellationToken cancellationToken)
    {
        CheckNameOfExisting(topic);
        var call = _topics.FindCurrentAsync(topic);
        var known = await AnswerAsync($"Looking up topic '{topic}'", call, cancellationToken).ConfigureAwait(false);
        return known?.Listing ?? throw UnknownTopic(topic);
    }

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default)
    {
        CheckNameOfExisting(topic);
        var id = await FindIdToChangeAsync(topic, cancellationToken).ConfigureAwait(false);
        var call = Topic(topic).AlterAsync(new(configs), id, cancellationToken);
        return await AnswerAsync($"Altering topic '{topic}'", call, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default)
    {
        CheckNameOfExisting(topic);
        var id = await FindIdToChangeAsync(topic, cancellationToken).ConfigureAwait(false);
        await OrderedQueues.DemandNoneAsync(this, topic, cancellationToken).ConfigureAwait(false);
        var call = Topic(topic).AddPartitionsAsync(totalCount, id, cancellationToken);
        var description = await AnswerAsync($"Adding partitions to '{topic}'", call, cancellationToken).ConfigureAwait(false);
        _topics.Remember(description);
        return description;
    }

    // A change that is carried out late must not change the next topic of its name. Null where the caller may change the topic and not
    // look it up: its change is for any.
    private async ValueTask<Guid?> FindIdToChangeAsync(string topic, CancellationToken cancellationToken)
    {
        try
        {
            return (await this.GetCurrentTopicAsync(topic, cancellationToken).ConfigureAwait(false)).TopicId;
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.TopicAuthorizationFailed)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        if (_local is not null && _local.TryGet(partition, out var local))
            return local.AppendAsync(batch, acks, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        return CallAsync(partition, grains => grains.Lane(acks).AppendAsync(batch, isUnflushed: acks == Acks.Replicated),
            static result => result.Error, ProduceResult.Failed);
    }

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken = default)
    {
        if (_local is not null && _local.TryGet(partition, out var local)
            && (transaction.TopicId is null || transaction.TopicId == local.TopicId))
            return local.AppendAsync(batch, Acks.All, cancellationToken, verified: new VerifiedTransaction(transaction.Number));
        cancellationToken.ThrowIfCancellationRequested();
        return CallAsync(partition, grains => LendAsync(batch, lent => Answer(grains.Grain.AppendInTransactionAsync(lent, transaction))),
            static result => result.Error, ProduceResult.Failed, transaction.TopicId);
    }

    private static async Task<ProduceResult> LendAsync(Memory<byte> batch, Func<BatchInCall, Task<ProduceResult>> call)
    {
        var lent = BatchInCall.Lend(batch);
        try
        {
            return await call(lent).ConfigureAwait(false);
        }
        finally
        {
            lent.Dispose();
        }
    }

    /// <inheritdoc/>
    ValueTask<ProduceResult> ITopicAppends.ProduceToAsync(Guid topicId, TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken)
    {
        if (_local is not null && _local.TryGet(partition, out var local) && local.TopicId == topicId)
            return local.AppendAsync(batch, acks, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        return CallAsync(partition, grains => grains.Lane(acks).AppendAsync(batch, isUnflushed: acks == Acks.Replicated),
            static result => result.Error, ProduceResult.Failed, topicId);
    }

    /// <inheritdoc/>
    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        if (_local is null || !_local.TryGet(request.Partition, out var local))
            return PollAsync(request, cancellationToken);
        var read = local.ReadAsync(request, cancellationToken);
        return read.IsCompletedSuccessfully ? OrElsewhere(read.Result) : OrElsewhereAsync(read);

        // Leadership may have moved to another broker meanwhile.
        ValueTask<FetchResult> OrElsewhere(FetchResult result) =>
            LeaderPatience.HasMoved(result.Error) ? PollAsync(request, cancellationToken) : new(result);

        async ValueTask<FetchResult> OrElsewhereAsync(ValueTask<FetchResult> reading) =>
            await OrElsewhere(await reading.ConfigureAwait(false)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default)
    {
        if (_local is not null && _local.TryGet(partition, out var local) && local.FindOffset(spec) is var found
            && !LeaderPatience.HasMoved(found.Error))
            return new(found);
        return LeaderPatience.RetryAsync(_options,
            () => CallAsync(partition, grains => Answer(grains.Grain.FindOffsetAsync(spec, cancellationToken)),
            static result => result.Error,
            static (error, message) => new OffsetResult(error, -1, Message: message)), static result => result.Error, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset,
        CancellationToken cancellationToken = default)
    {
        // The end is found once: a call that is carried out late, or again, deletes no record that came after the caller's.
        if (beforeOffset == -1)
        {
            var end = await FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
            beforeOffset = end.Error == ErrorCode.None ? end.Offset : throw new BrokerException(end.Error, end.Message ?? "");
        }
        var result = await LeaderPatience.RetryAsync(_options, DeleteOnceAsync, static result => result.Error,
            cancellationToken).ConfigureAwait(false);
        return result.Error == ErrorCode.None ? result.LogStartOffset : throw new BrokerException(result.Error, result.Message!);

        ValueTask<(ErrorCode Error, long LogStartOffset, string? Message)> DeleteOnceAsync() =>
            _local is not null && _local.TryGet(partition, out var local)
                ? new(DeletedAsync(local.DeleteRecordsAsync(beforeOffset, cancellationToken).AsTask()))
                : CallAsync(partition, grains => Answer(DeletedAsync(grains.Grain.DeleteRecordsAsync(beforeOffset, cancellationToken))),
                    static result => result.Error,
                    static (error, message) => (Error: error, LogStartOffset: -1L, Message: (string?)message));

        static async Task<(ErrorCode Error, long LogStartOffset, string? Message)> DeletedAsync(Task<long> deletion)
        {
            try
            {
                return (ErrorCode.None, await deletion.ConfigureAwait(false), null);
            }
            catch (BrokerException refused)
            {
                return (refused.Code, -1, refused.Message);
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        AnswerAsync("Asking for a producer id", Cluster.InitProducerIdAsync(cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        _metadata is { Image.Version: > 0 } metadata
        ? new(metadata.Describe())
        : AnswerAsync("Describing the cluster", Cluster.DescribeAsync(cancellationToken), cancellationToken);

    /// <summary>Runs a long poll as a series of calls, none longer than <see cref="GrainBrokerOptions.MaxWaitPerCall"/>.</summary>
    private async ValueTask<FetchResult> PollAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var began = _options.TimeProvider.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var left = request.MaxWait - _options.TimeProvider.GetElapsedTime(began);
            var wait = left <= TimeSpan.Zero ? TimeSpan.Zero : left < _options.MaxWaitPerCall ? left : _options.MaxWaitPerCall;
            var read = new PartitionRead(request.Offset)
            {
                MaxBytes = request.MaxBytes,
                MinBytes = request.MinBytes,
                MaxWait = wait,
                Isolation = request.Isolation,
            };
            var result = await LeaderPatience.RetryAsync(_options,
                () => CallAsync(request.Partition, grains => Answer(grains.Grain.ReadAsync(read, cancellationToken)),
                static result => result.Error, static (error, message) => FetchResult.Failed(error, message)),
                static result => result.Error,
                cancellationToken).ConfigureAwait(false);
            if (result.Error != ErrorCode.None || result.Records.Length >= request.MinBytes || wait == left || wait == TimeSpan.Zero)
                return result;
            result.Dispose();
        }
    }

    /// <summary>
    /// Calls a partition's grain. If the cached topic proves outdated (deleted and created again, or with more partitions), this asks the
    /// topic's grain and repeats the call once. That is safe: a grain does nothing for an unknown topic id.
    /// </summary>
    /// <param name="partition">The partition.</param>
    /// <param name="call">Calls its grain.</param>
    /// <param name="errorOf">The error of an answer.</param>
    /// <param name="failed">Makes the answer of a call that failed.</param>
    /// <param name="topicId">The only topic that is called; null: the one that has the name.</param>
    internal async ValueTask<T> CallAsync<T>(TopicPartition partition, Func<PartitionGrains, Task<T>> call, Func<T, ErrorCode> errorOf,
        Func<ErrorCode, string, T> failed, Guid? topicId = null)
    {
        if (!CouldExist(partition.Topic))
            return failed(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(partition.Topic));
        try
        {
            var topic = await _topics.FindAsync(partition.Topic).ConfigureAwait(false);
            if ((topicId is null || topicId == topic?.Listing.TopicId) && topic?.Partition(partition.Partition) is { } grain)
            {
                var result = await call(grain).ConfigureAwait(false);
                if (errorOf(result) == ErrorCode.UnknownTopicOrPartition)
                    _topics.Forget(partition.Topic);
                if (errorOf(result) != ErrorCode.UnknownTopicId)
                    return result;
            }
            topic = await _topics.RefreshAsync(partition.Topic).ConfigureAwait(false);
            if (topic is null)
                return failed(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(partition.Topic));
            if (topicId is { } id && id != topic.Listing.TopicId)
                return failed(ErrorCode.UnknownTopicId, TopicCatalogue.OtherTopic(partition.Topic, id));
            if (topic.Partition(partition.Partition) is not { } other)
                return failed(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownPartition(partition, topic.Listing.Partitions));
            return await call(other).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            return failed(refused.Code,
                refused.Message); // The topic's grain refused (its document is damaged), or no leader could be found.
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            return failed(ErrorCode.RequestTimedOut, GrainFaults.Message($"The request to partition '{partition}'", exception));
        }
    }

    internal Task<T> Answer<T>(Task<T> call) => _deaths?.AnswerAsync(call) ?? call;

    private ValueTask<T> AnswerAsync<T>(string what, Task<T> call, CancellationToken cancellationToken) =>
        GrainFaults.AnswerAsync(what, Answer(call), cancellationToken);

    private ITopicGrain Topic(string topic) => _grains.GetBrokerGrain<ITopicGrain>(topic);

    /// <summary>Rejects a name that no topic can have, so that it never activates a grain.</summary>
    private static void CheckNameOfExisting(string topic)
    {
        if (!CouldExist(topic))
            throw UnknownTopic(topic);
    }

    private static bool CouldExist(string topic) => TopicName.Validate(topic) is null;

    private static BrokerException UnknownTopic(string topic) => new(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(topic));
}
